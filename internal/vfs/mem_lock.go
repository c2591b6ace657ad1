package vfs

import "sync"

// memLocks are the locks held on one Mem.
type memLocks struct {
	mu   sync.Mutex
	held map[*node]*lockState
}

// lockState is one lock file's state: one exclusive holder, or any number of shared.
type lockState struct {
	exclusive bool
	shared    int
	holder    string
}

// take adds a holder, or says who is in the way.
func (s *lockState) take(exclusive bool, holder string) *LockedError {
	if s.exclusive || s.shared > 0 && exclusive {
		return &LockedError{Holder: s.holder}
	}
	if exclusive {
		s.exclusive = true
	} else {
		s.shared++
	}
	s.holder = holder
	return nil
}

// release takes a holder away and reports whether none is left.
func (s *lockState) release(exclusive bool) (free bool) {
	if exclusive {
		s.exclusive = false
	} else {
		s.shared--
	}
	return !s.exclusive && s.shared == 0
}

func (l *memLocks) take(n *node, exclusive bool, holder string) (*memLock, *LockedError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := l.held[n]
	if state == nil {
		state = &lockState{}
	}
	if conflict := state.take(exclusive, holder); conflict != nil {
		return nil, conflict
	}
	if l.held == nil {
		l.held = map[*node]*lockState{}
	}
	l.held[n] = state
	return &memLock{locks: l, node: n, state: state, exclusive: exclusive}, nil
}

// drop releases every lock, as the end of the process that holds them does.
func (l *memLocks) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = nil
}

// memLock is a lock that is held. Close releases it once.
type memLock struct {
	locks     *memLocks
	node      *node
	state     *lockState
	exclusive bool
	once      sync.Once
}

// Close implements io.Closer.
func (l *memLock) Close() error {
	l.once.Do(func() {
		l.locks.mu.Lock()
		defer l.locks.mu.Unlock()
		// After drop the entry, if there is one, is another process's.
		if l.locks.held[l.node] == l.state && l.state.release(l.exclusive) {
			delete(l.locks.held, l.node)
		}
	})
	return nil
}
