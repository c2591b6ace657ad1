package lsm

// Idle reports whether a Next of the watcher waits, and nothing is left for it to look at.
func (w *Watcher) Idle() bool {
	f := &w.db.feed
	f.parkMu.Lock()
	defer f.parkMu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	return w.parked && f.seen == f.base+uint64(len(f.pieces))
}
