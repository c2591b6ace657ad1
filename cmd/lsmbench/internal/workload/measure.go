package workload

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/proc"
)

// sampler looks at a run from beside it: operations of each second, resident memory.
type sampler struct {
	stop chan struct{}
	done sync.WaitGroup

	// frozen: the operations are over, and only memory is sampled, while the store
	// settles.
	frozen atomic.Bool

	perSecond []uint64
	rss       proc.RSS // greatest values seen
}

// rssEvery is how often resident memory is read; a reading takes some 20 µs.
const rssEvery = 50 * time.Millisecond

// startSampler samples until it is ended. count gives the operations done so far, and
// report, which may be nil, is told them.
func startSampler(count func() uint64, report func(uint64)) *sampler {
	s := &sampler{stop: make(chan struct{})}
	s.rss = proc.ReadRSS()
	s.done.Go(func() { s.loop(count, report) })
	return s
}

func (s *sampler) loop(count func() uint64, report func(uint64)) {
	tick := time.NewTicker(rssEvery)
	defer tick.Stop()
	start, last := clock(), uint64(0)
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		s.memory()
		if s.frozen.Load() {
			continue
		}
		now := count()
		if report != nil {
			report(now)
		}
		if full := int((clock() - start) / time.Second); full > len(s.perSecond) {
			s.perSecond = append(s.perSecond, now-last)
			last = now
		}
	}
}

func (s *sampler) memory() {
	rss := proc.ReadRSS()
	s.rss.Anon, s.rss.File = max(s.rss.Anon, rss.Anon), max(s.rss.File, rss.File)
}

// end stops the sampling; afterwards the figures may be read.
func (s *sampler) end() {
	close(s.stop)
	s.done.Wait()
	s.memory()
}
