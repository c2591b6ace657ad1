package lsm

import (
	"context"
	"crypto/cipher"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
)

// nonces notes under which key and nonce blocks are sealed.
type nonces struct {
	mu    sync.Mutex
	seen  map[string]bool
	twice []string
}

// watched is a cipher of a file.
type watched struct {
	cipher.AEAD
	n    *nonces
	file string
}

func (w *watched) Seal(dst, nonce, plaintext, data []byte) []byte {
	id := fmt.Sprintf("%s nonce %x", w.file, nonce)
	w.n.mu.Lock()
	if w.n.seen[id] {
		w.n.twice = append(w.n.twice, id)
	}
	w.n.seen[id] = true
	w.n.mu.Unlock()
	return w.AEAD.Seal(dst, nonce, plaintext, data)
}

func (n *nonces) wrap(inner seal.NewCipher) seal.NewCipher {
	return func(kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, seal.KeyID, error) {
		c, id, err := inner(kind, uid, salt)
		return &watched{c, n, fmt.Sprintf("kind %d key %d uid %s salt %x", kind, id, uid, salt)}, id, err
	}
}

var _ seams.WrapCipher = (*nonces)(nil).wrap

// R35: no nonce is used twice under a key, over openings, kills, segments that are used again,
// checkpoints and salvage.
func TestNoNonceIsUsedTwice(t *testing.T) {
	ctx := context.Background()
	n := &nonces{seen: map[string]bool{}}
	fs := vfs.NewMem()
	options := func(fs vfs.FS) *Options {
		o := encrypted(fs, 1)
		o.seams.WrapCipher = n.wrap
		o.seams.Sizing.MinSegmentBytes, o.seams.Sizing.MaxSegmentBytes = 8<<10, 16<<10
		o.seams.Sizing.ManifestBytes = 1 << 10
		return o
	}
	for i := range 4 {
		db := mustOpen(t, options(fs))
		fillCanaries(t, db, 150*i, 150*(i+1))
		require.NoError(t, db.RotateDataKeys())
		require.NoError(t, db.Checkpoint(ctx, fmt.Sprintf("copy-%d", i)))
		killed := fs.Copy()
		require.NoError(t, db.Close())
		if i%2 == 0 {
			fs = killed // goes on from what a killed process left
		}
	}
	db := mustOpen(t, options(fs))
	checkCanaries(t, db, 600)
	require.NoError(t, db.Compact(ctx, nil, nil))
	require.NoError(t, db.Close())
	_, err := Salvage(ctx, "db", "new", options(fs))
	require.NoError(t, err)
	require.Empty(t, n.twice)
	require.Greater(t, len(n.seen), 500)
}
