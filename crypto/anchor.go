package crypto

import (
	"crypto/sha256"
	"fmt"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/mutant"
)

// Anchor tells one state of a keyring or vault from those before it. Kept where an attacker
// cannot change it, it shows when the file was put back. It holds no secret.
type Anchor struct {
	// UID is that of the keyring's store, or of the vault.
	UID fileid.UID
	// Epoch rises with each writing of the file.
	Epoch uint64
	// Digest is the SHA-256 of the file.
	Digest [sha256.Size]byte
}

// Expected is what a keyring or vault must be, where its opener knows. Zero fields are not
// compared.
type Expected struct {
	// UID is that of the keyring's store, or of the vault.
	UID fileid.UID
	// Anchor is one that was returned before: the file must not be older.
	Anchor Anchor
}

// check compares what is expected of a file with what was found. It cannot tell what a history
// that split off before the anchor has written since, once its epoch has passed the anchor's:
// who compares with the newest anchor at each open meets it when its epoch has not.
func (e *Expected) check(name string, found Anchor) error {
	a := e.Anchor
	switch {
	case e.UID != fileid.UID{} && e.UID != found.UID:
		return notAuthentic(name, "is of another store")
	case a == Anchor{}:
		return nil
	case found.UID != a.UID:
		return notAuthentic(name, "is of another store than its anchor")
	case mutant.Enabled && mutant.Is(mutant.IgnoreAnchor):
		return nil
	case found.Epoch < a.Epoch:
		return fmt.Errorf("%w: %s has epoch %d, its anchor %d", ErrRollback, name, found.Epoch, a.Epoch)
	case found.Epoch == a.Epoch && found.Digest != a.Digest:
		return fmt.Errorf("%w: %s has the epoch of its anchor and another content", ErrRollback, name)
	}
	return nil
}
