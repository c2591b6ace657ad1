package lsm

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/seal/sealtest"
	"github.com/loamdb/loam/internal/vfs"
)

// R35: no nonce is used twice under a key, over openings, kills, segments that are used again,
// checkpoints and salvage.
func TestNoNonceIsUsedTwice(t *testing.T) {
	ctx := context.Background()
	var n sealtest.Nonces
	fs := vfs.NewMem()
	options := func(fs vfs.FS) *Options {
		o := encrypted(fs, 1)
		o.seams.WrapCipher = n.Wrap
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
	sealed, twice := n.Count()
	require.Zero(t, twice)
	require.Greater(t, sealed, 500)
}
