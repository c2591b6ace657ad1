package crypto

import (
	"errors"
	"fmt"
	"strings"

	"github.com/loamdb/loam/internal/seal"
)

// Errors of opening and reading. No error of this package shows a key, or a byte of one.
var (
	// ErrCorrupt: stored bytes are not what was written.
	ErrCorrupt = errors.New("crypto: corrupt")
	// ErrAuth: stored bytes were changed, moved or come from elsewhere. It matches ErrCorrupt.
	ErrAuth = fmt.Errorf("%w: not authentic", ErrCorrupt)
	// ErrRollback: the keyring is older than its anchor, or of another history. It matches
	// ErrCorrupt.
	ErrRollback = fmt.Errorf("%w: older than its anchor", ErrCorrupt)
	// ErrWrongKey: the key is another one than the file was written with. Nothing was
	// decrypted.
	ErrWrongKey = errors.New("crypto: wrong key")
	// ErrNoKey: the keyring or the vault has no key of that id. It matches ErrAuth: the id comes
	// from a file that is damaged or of another store.
	ErrNoKey = fmt.Errorf("%w: unknown key id", ErrAuth)
	// ErrRetired: the keyring has retired the key, and its bytes are gone. It matches ErrNoKey.
	ErrRetired = fmt.Errorf("%w: key was retired", ErrNoKey)
	// ErrShredded: the scope's key was destroyed, and what was sealed under it with it.
	ErrShredded = errors.New("crypto: scope key was destroyed")
	// ErrTooNew: the file needs a newer version of this code. It was not touched.
	ErrTooNew = errors.New("crypto: format is newer than this code")
	// ErrInvalidKey: what was given is no key: of another length, not text of one, or zeros.
	ErrInvalidKey = errors.New("crypto: invalid key")
)

// Errors of changing.
var (
	// ErrInUse: the key cannot be retired. Details: *InUseError.
	ErrInUse = errors.New("crypto: key is in use")
	// ErrActive: the active key cannot be retired; another one must be active first.
	ErrActive = errors.New("crypto: key is active")
	// ErrUncertain: the change failed, but may be found by the next open. After a change of
	// the master key the old and the new one must both be kept until a change succeeds. Every
	// data key that the keyring gives out is in either file.
	ErrUncertain = errors.New("crypto: change may be on disk")
	// ErrFull: the keyring or vault has as many keys as it can have.
	ErrFull = errors.New("crypto: too many keys")
	// ErrReadOnly: it was opened for reading.
	ErrReadOnly = errors.New("crypto: opened for reading only")
	// ErrClosed: it was closed, and its keys were wiped.
	ErrClosed = errors.New("crypto: closed")
)

// InUseError says what needs a key. It matches ErrInUse.
type InUseError struct {
	// ID is the key.
	ID seal.KeyID
	// Users are who needs it, as the caller of Retire calls them; at least one.
	Users []string
}

// shownUsers is how many users an error names.
const shownUsers = 3

// Error implements error.
func (e *InUseError) Error() string {
	users := strings.Join(e.Users[:min(len(e.Users), shownUsers)], ", ")
	if more := len(e.Users) - shownUsers; more > 0 {
		users = fmt.Sprintf("%s and %d more", users, more)
	}
	return fmt.Sprintf("crypto: key %d is in use by %s", e.ID, users)
}

// Is reports whether target is ErrInUse.
func (e *InUseError) Is(target error) bool { return target == ErrInUse }

// notAuthentic is an ErrAuth with the file and what is wrong with it.
func notAuthentic(file, what string) error { return fmt.Errorf("%w: %s: %s", ErrAuth, file, what) }
