package vfs

import (
	"errors"
	"io"
	"io/fs"
)

// Errors that callers act on. They are reached with errors.Is through the *PathError
// that carries the operation and the path.
var (
	// ErrNotExist: the file is not there.
	ErrNotExist = fs.ErrNotExist
	// ErrExist: Create found the file there.
	ErrExist = fs.ErrExist
	// ErrFault: a mapped Load or Store met memory that the file no longer backs, or
	// that the device could not deliver.
	ErrFault = errors.New("vfs: fault in a mapped file")
	// ErrNotSupported: this system or file system lacks the operation.
	ErrNotSupported = errors.ErrUnsupported
	// ErrNoLink: Link cannot make this link, where a copy can be made: the two names are
	// on different devices, the file system has no links, or the file has too many.
	ErrNoLink = errors.New("vfs: link cannot be made")
	// ErrNoSpace matches ENOSPC and EDQUOT, from the OS and from Faults alike.
	ErrNoSpace = errors.New("vfs: no space left")
)

// FS is a file system. Paths are slash-separated as the implementation's caller gave
// them. All methods may be called from any number of goroutines.
type FS interface {
	// Create makes a new file for reading and writing, mode 0600; ErrExist if the
	// name is taken. The new entry is durable only after SyncDir.
	Create(name string) (File, error)
	// Open opens an existing file.
	Open(name string, mode OpenMode) (File, error)
	// Remove unlinks a file or an empty directory.
	Remove(name string) error
	// Rename moves oldName to newName, replacing it.
	Rename(oldName, newName string) error
	// Link makes newName a second name of the file oldName, durable only after SyncDir.
	// ErrExist if taken, ErrNoLink where the file can only be copied.
	Link(oldName, newName string) error
	// MkdirAll makes a directory and its parents, mode 0700.
	MkdirAll(dir string) error
	// List returns the names in dir, sorted, without "." and "..".
	List(dir string) ([]string, error)
	// Size returns the file's length in bytes.
	Size(name string) (int64, error)
	// SyncDir makes the entries of dir durable.
	SyncDir(dir string) error
	// Lock takes the advisory lock of a file. An exclusive one creates the file if
	// needed and writes holder into it; a shared one changes nothing, and gives
	// ErrNotExist when the file is missing. It does not wait: a conflicting holder, in
	// this or in another process, gives a *LockedError; a file that has a second name is not
	// written to, ErrNotPrivate.
	Lock(name string, exclusive bool, holder string) (io.Closer, error)
	// Traits describes the file system that holds dir.
	Traits(dir string) (Traits, error)
}

// OpenMode says what an opened file is for.
type OpenMode uint8

// Modes of Open.
const (
	// ReadOnly: reads only.
	ReadOnly OpenMode = iota
	// ReadWrite: reads and writes.
	ReadWrite
	// ReadWriteDSync: as ReadWrite; each WriteAt is durable when it returns (F4).
	// ErrNotSupported where the system cannot.
	ReadWriteDSync
	// ReadOnlyDirect: reads only, each from the device instead of from the system's cache,
	// which stays as it is. ErrNotSupported where the system, or the file system, cannot.
	ReadOnlyDirect
)

// Traits are facts about a file system that decide how the log may use it.
type Traits struct {
	// MappedStores is true where stores into a shared mapping of written blocks
	// cannot fault for lack of space: ext4 and the memory file system. XFS is not among
	// them: a copy by reference, which "cp" makes by default and anybody may make of an
	// open file, shares its blocks, and the next store needs new ones.
	MappedStores bool
	// MappedLoads is true where loads from a mapping fault only for an error of the
	// device or a truncated file: where stores are safe, and XFS.
	MappedLoads bool
	// Writers are who may make and remove files in the directory. They are not known, and none,
	// on Windows.
	Writers Writers
}

// Writers are who, besides this process's user and root, may make and remove files in a
// directory, as its owner and mode tell.
type Writers uint8

// Writers.
const (
	// Everybody may.
	Everybody Writers = 1 << iota
	// Group: the members of its group may.
	Group
	// Owner: the directory is another user's, neither this process's nor root's. To a process
	// of root it never is: that one works in directories of others, as in containers.
	Owner
	// Sticky goes with Everybody and Group: those who may make files there cannot remove or
	// rename what is not theirs.
	Sticky
)

// File is an open file. ReadAt, WriteAt, Sync and Size may be called concurrently;
// Close only once nothing else runs.
type File interface {
	// ReadAt fills p from off, as io.ReaderAt: fewer bytes only with an error,
	// io.EOF at the end of the file.
	ReadAt(p []byte, off int64) (int, error)
	// WriteAt writes all of p at off. It retries interrupted and short writes; an
	// error says nothing about which bytes were written.
	WriteAt(p []byte, off int64) (int, error)
	// Truncate sets the length.
	Truncate(size int64) error
	// Preallocate asks for blocks for [off, off+n) without changing the length or
	// any byte. It is advice; ErrNotSupported where the system has none.
	Preallocate(off, n int64) error
	// Sync makes content and length durable (F2).
	Sync() error
	// Size returns the length.
	Size() (int64, error)
	// FirstHole returns the offset of the first byte without a written block of its own,
	// which reads as zero and for which a store may lack space; the length when there is
	// none, or when the system cannot tell.
	FirstHole() (int64, error)
	// Map maps [0, size) of the file, which must be at least that long. The file may
	// be closed while the mapping lives.
	Map(size int64, mode OpenMode) (Mapped, error)
	// Close closes the file. Its error matters after writes.
	Close() error
}

// Mapped is a mapping of a file. Load and Store may be called concurrently for
// different bytes; Close only once nothing else runs.
//
// Memory is mapped by pages: of a file that was truncated within one, the rest of that
// page may read as zeros, and a store there may be lost, without an error. The caller's
// checksums catch it.
type Mapped interface {
	// Load copies len(p) bytes from off into p. A range outside the mapping, or
	// memory the file no longer backs, is an error; p is then unspecified.
	Load(p []byte, off int64) error
	// Store copies p to off. It is seen by every reader of the file at once (F1).
	Store(off int64, p []byte) error
	// Close unmaps. It does not sync.
	Close() error
}

// LockedError says that another holder has the lock.
type LockedError struct {
	// Name is the lock file.
	Name string
	// Holder is what the holder wrote into it, or "" when that cannot be read.
	Holder string
}

// Error implements error.
func (e *LockedError) Error() string {
	if e.Holder == "" {
		return "vfs: " + e.Name + " is locked"
	}
	return "vfs: " + e.Name + " is locked by " + e.Holder
}
