package main

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"time"
)

// readWorkloads run on a filled store, after fillrandom and overwrite where those were
// chosen; deleterandom comes last, because it spoils it. Every answer is checked
// for what can be checked at no cost: that a key is there or absent, and the counts.
var readWorkloads = []workload{
	{name: "readrandom", doc: "Get of random keys that exist", filled: true, run: readRandom},
	{name: "readmissing", doc: "Get of keys that do not exist, within the range of those that do", filled: true, run: readMissing},
	{name: "readseq", doc: "one iterator over everything, forward", filled: true, run: readSeq},
	{name: "readreverse", doc: "one iterator over everything, backward", filled: true, run: readReverse},
	{name: "seekrandom", doc: "seek to a random key and read 10 entries", filled: true, run: seekRandom},
	{name: "readwhilewriting", doc: "readrandom while one more goroutine overwrites 20,000 keys a second", filled: true, stirs: true, run: readWhileWriting},
	{name: "deleterandom", doc: "Delete of random keys of a filled store, unsynced", filled: true, writes: true, deletes: true, run: deleteRandom},
}

// errWrongAnswer: an engine returned what was not written. The run ends: its figures
// would mean nothing.
var errWrongAnswer = errors.New("wrong answer")

// readSample is the share of reads that is timed, one in 8: two clock readings are a
// tenth of a fast read.
const readSample = 8

// maxReads bounds a read workload; the limit in seconds usually ends it earlier.
const maxReads = 1 << 30

func readRandom(r *run) error {
	return r.each(pacing{total: maxReads, sample: readSample, limited: true}, func(w *worker) func(int) error {
		return func(int) error { return r.getPresent(w) }
	})
}

func (r *run) getPresent(w *worker) error {
	key := r.keys.present(w.key, w.rng.Uint64N(r.keys.n))
	v, found, err := w.Get(w.dst[:0], key)
	if err != nil {
		return err
	}
	if !found || len(v) != r.p.valueLen {
		return fmt.Errorf("%w: Get of %s: found %t, %d bytes", errWrongAnswer, key, found, len(v))
	}
	return nil
}

func readMissing(r *run) error {
	return r.each(pacing{total: maxReads, sample: readSample, limited: true}, func(w *worker) func(int) error {
		return func(int) error {
			key := r.keys.missing(w.key, w.rng.Uint64N(r.keys.n))
			_, found, err := w.Get(w.dst[:0], key)
			if err == nil && found {
				err = fmt.Errorf("%w: Get found %s, which was never written", errWrongAnswer, key)
			}
			return err
		}
	})
}

func readSeq(r *run) error     { return r.readAll(false) }
func readReverse(r *run) error { return r.readAll(true) }

// readAll scans the whole store until half the limit has passed, at least once, and
// counts entries. An entry takes too little time to be timed by itself.
func (r *run) readAll(reverse bool) error {
	err := r.each(pacing{total: r.p.goroutines, sample: 1}, func(w *worker) func(int) error {
		return func(int) error {
			for start := clock(); ; {
				if err := r.ctx.Err(); err != nil {
					return err
				}
				if err := r.scanAll(w, reverse); err != nil {
					return err
				}
				if clock()-start >= r.p.limit/2 {
					return nil
				}
			}
		}
	})
	r.ops = int(r.bytes) / (r.p.keyLen + r.p.valueLen)
	r.hist = histogram{}
	return err
}

func (r *run) scanAll(w *worker, reverse bool) error {
	sc, err := w.NewScanner()
	if err != nil {
		return err
	}
	bytes := int64(0)
	count, err := sc.Scan(nil, reverse, r.p.n+1, func(key, value []byte) bool {
		bytes += int64(len(key) + len(value))
		return true
	})
	if err = errors.Join(err, sc.Close()); err != nil {
		return err
	}
	if count != r.p.n {
		return fmt.Errorf("%w: a scan of %d keys gave %d", errWrongAnswer, r.p.n, count)
	}
	w.bytes += bytes
	r.progress.Add(int64(count))
	return nil
}

// seekLen is the number of entries read after each seek.
const seekLen = 10

func seekRandom(r *run) error {
	var scanners []Scanner
	err := r.each(pacing{total: maxReads, sample: readSample, limited: true}, func(w *worker) func(int) error {
		sc, err := w.NewScanner()
		if err != nil {
			return func(int) error { return err }
		}
		scanners = append(scanners, sc)
		var first []byte
		visit := func(key, value []byte) bool {
			if first == nil {
				first = append(w.dst[:0], key...)
			}
			w.bytes += int64(len(key) + len(value))
			return true
		}
		return func(int) error {
			i := w.rng.Uint64N(r.keys.n)
			from := r.keys.present(w.key, i)
			first = nil
			count, err := sc.Scan(from, false, seekLen, visit)
			if err == nil && (count != int(min(seekLen, r.keys.n-i)) || !bytes.Equal(first, from)) {
				err = fmt.Errorf("%w: seek to %s gave %d entries from %s", errWrongAnswer, from, count, first)
			}
			return err
		}
	})
	for _, sc := range scanners {
		err = errors.Join(err, sc.Close())
	}
	return err
}

// The writer of readwhilewriting: the same load for every engine, so that a faster one
// does not disturb its own readers more.
const (
	writeTick    = 5 * time.Millisecond
	writesATick  = 100
	writerWorker = 1 << 16 // its id, apart from the readers'
)

func readWhileWriting(r *run) error {
	stop := make(chan struct{})
	var writeErr error
	var wg sync.WaitGroup
	wg.Go(func() { writeErr = r.writeSteadily(stop) })
	err := readRandom(r)
	close(stop)
	wg.Wait()
	return errors.Join(err, writeErr)
}

func (r *run) writeSteadily(stop <-chan struct{}) error {
	w := r.newWorker(writerWorker)
	tick := time.NewTicker(writeTick)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-tick.C:
		}
		for range writesATick {
			if err := w.Set(r.keys.present(w.key, w.rng.Uint64N(r.keys.n)), w.values.take(), false); err != nil {
				return err
			}
		}
	}
}
