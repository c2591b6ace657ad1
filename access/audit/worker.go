package audit

import (
	"context"
	"fmt"
)

// writtenTogether is how many records go in one Apply.
const writtenTogether = 256

// run is the worker: it writes what is in the queue until the Log is closed.
func (l *Log) run(ctx context.Context) {
	defer close(l.done)
	defer l.cancel()
	for range l.wake {
		for {
			jobs, lost, closed := l.take()
			if len(jobs) > 0 {
				l.write(ctx, jobs, lost)
				continue
			}
			if closed {
				return
			}
			break
		}
	}
}

// take takes some of the queue, and how many records were dropped before them.
func (l *Log) take() (jobs []job, lost uint64, closed bool) {
	q := &l.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.jobs), writtenTogether)
	jobs = q.jobs[:n:n]
	q.jobs = q.jobs[n:]
	if len(q.jobs) == 0 {
		q.jobs = nil
	}
	records := 0
	for i := range jobs {
		if jobs[i].result == nil {
			q.noted--
		}
		if !jobs[i].empty {
			records++
		}
	}
	if records > 0 {
		lost, q.lost = q.lost, 0
	}
	return jobs, lost, q.closed
}

// write writes the records of jobs in one step and tells who waits.
func (l *Log) write(ctx context.Context, jobs []job, lost uint64) {
	records := make([]Record, 0, len(jobs))
	for i := range jobs {
		if !jobs[i].empty {
			records = append(records, jobs[i].record)
		}
	}
	err := l.append(ctx, records, lost)
	if err == nil {
		l.written.Add(uint64(len(records)))
	} else {
		l.lose(jobs, lost)
	}
	for i := range jobs {
		switch {
		case jobs[i].result == nil:
		case jobs[i].empty:
			jobs[i].result <- nil
		default:
			jobs[i].result <- err
		}
	}
}

// lose counts the records of jobs that could not be written.
func (l *Log) lose(jobs []job, lost uint64) {
	n := uint64(0)
	for i := range jobs {
		if !jobs[i].empty {
			n++
		}
	}
	l.dropped.Add(n)
	l.queue.mu.Lock()
	l.queue.lost += lost + n
	l.queue.mu.Unlock()
}

// append writes records behind the head. After an error it is not known whether the store
// has them; the head is read again before the next ones.
func (l *Log) append(ctx context.Context, records []Record, lost uint64) error {
	if len(records) == 0 {
		return nil
	}
	if !l.known {
		if err := l.reload(ctx); err != nil {
			return err
		}
	}
	head := l.Head()
	entries := make([]Entry, 0, len(records)+1)
	records[0].Dropped = lost
	for i := range records {
		if head.Seq == 0 || head.Seq-head.first+1 >= uint64(l.options.SegmentRecords) {
			head.segment++
			head.first = head.Seq + 1
		}
		head.Seq++
		p, err := Encode(nil, &records[i])
		if err != nil {
			return err
		}
		head.Hash = l.options.link(head.Hash, head.segment, head.Seq, p)
		entries = append(entries, Entry{Key: recordKey(head.segment, head.Seq), Value: append(p, head.Hash[:]...)})
	}
	entries = append(entries, Entry{Key: headKey, Value: l.options.encodeHead(head)})
	if err := l.store.Apply(ctx, entries, nil); err != nil {
		l.known = false
		return fmt.Errorf("audit: write: %w", err)
	}
	l.end.Store(&head)
	return nil
}

// reload finds where the store's chain ends.
func (l *Log) reload(ctx context.Context) error {
	head, err := l.options.readHead(ctx, l.store)
	if err != nil {
		return err
	}
	l.end.Store(&head)
	l.known = true
	return nil
}
