package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// osLocks are the locks that this process holds. The system's lock excludes other
// processes, and on most systems other opens in this one; the table makes sure of the
// latter and names the holder without trusting the file's content.
var osLocks struct {
	mu   sync.Mutex
	held []*osLocked
}

// osLocked is a lock file that this process holds.
type osLocked struct {
	info  os.FileInfo
	state lockState
}

// maxHolderBytes bounds what is read of a lock file's content.
const maxHolderBytes = 1 << 10

// Lock implements FS.
func (osFS) Lock(name string, exclusive bool, holder string) (io.Closer, error) {
	f, err := openLock(name, exclusive)
	if err != nil {
		return nil, osError("lock", name, err)
	}
	lock, err := lockOpened(f, name, exclusive, holder)
	if err != nil {
		_ = f.Close() // nothing was written through it; err is the cause
		var held *LockedError
		if errors.As(err, &held) {
			return nil, held
		}
		return nil, osError("lock", name, err)
	}
	return lock, nil
}

// openLock opens the lock file, for reading only where that will do: a shared lock is
// taken by readers, who may lack the right to write, and must not make files.
func openLock(name string, exclusive bool) (*os.File, error) {
	if !exclusive {
		return os.OpenFile(name, os.O_RDONLY|openFlags, 0)
	}
	return os.OpenFile(name, os.O_CREATE|os.O_RDWR|openFlags, 0o600)
}

func lockOpened(f *os.File, name string, exclusive bool, holder string) (io.Closer, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errIrregular
	}
	if exclusive && linked(info) {
		return nil, fmt.Errorf("%w: has a second name", ErrNotPrivate) // whose file the holder would be written into
	}
	osLocks.mu.Lock()
	defer osLocks.mu.Unlock()
	entry := findOSLock(info)
	if conflict := entry.state.take(exclusive, holder); conflict != nil {
		conflict.Name = name
		return nil, conflict
	}
	taken, err := lockFile(f, exclusive)
	if err == nil && !taken {
		err = &LockedError{Name: name, Holder: readHolder(f, exclusive)}
	}
	if err != nil {
		if entry.state.release(exclusive) {
			dropOSLock(entry)
		}
		return nil, err
	}
	if exclusive {
		writeHolder(f, holder)
	}
	return &osLock{file: f, name: name, entry: entry, exclusive: exclusive}, nil
}

// findOSLock returns the table's entry for a file, made if needed. Under osLocks.mu.
func findOSLock(info os.FileInfo) *osLocked {
	for _, e := range osLocks.held {
		if os.SameFile(e.info, info) {
			return e
		}
	}
	e := &osLocked{info: info}
	osLocks.held = append(osLocks.held, e)
	return e
}

// dropOSLock forgets an entry without holders. Under osLocks.mu.
func dropOSLock(entry *osLocked) {
	for i, e := range osLocks.held {
		if e == entry {
			osLocks.held = append(osLocks.held[:i:i], osLocks.held[i+1:]...)
			return
		}
	}
}

// readHolder returns what the exclusive holder in another process wrote. When only
// readers are in the way the text is a former holder's, and is not returned.
func readHolder(f *os.File, wantExclusive bool) string {
	if wantExclusive {
		if shared, err := lockFile(f, false); err == nil && shared {
			return "" // closing the file gives this lock back
		}
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxHolderBytes))
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(string(b), "?")
}

// writeHolder replaces the lock file's content. The text serves people: the lock is held
// without it. On a full device it cannot be written, and a store must open there all the
// same, so errors are passed over; a LockedError of another process then has no holder,
// or one cut short, or, should the truncation fail, the one before.
func writeHolder(f *os.File, holder string) {
	if f.Truncate(0) == nil && holder != "" {
		_, _ = f.WriteAt([]byte(holder), 0)
	}
}

// osLock is a lock that is held. Close releases it once.
type osLock struct {
	file      *os.File
	name      string
	entry     *osLocked
	exclusive bool
	once      sync.Once
	err       error
}

// Close implements io.Closer. The system releases the lock with the descriptor. The text
// is removed first; where that fails it stays, a former holder's, until the next one's.
func (l *osLock) Close() error {
	l.once.Do(func() {
		osLocks.mu.Lock()
		defer osLocks.mu.Unlock()
		if l.exclusive {
			_ = l.file.Truncate(0)
		}
		l.err = osError("unlock", l.name, l.file.Close())
		if l.entry.state.release(l.exclusive) {
			dropOSLock(l.entry)
		}
	})
	return l.err
}
