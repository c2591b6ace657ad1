package blob_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable/blob"
	"github.com/loamdb/loam/sstable/block"
)

// Any bytes are a reference or are refused; what is accepted encodes to the same bytes.
func FuzzRef(f *testing.F) {
	good := blob.Ref{Head: []byte("head"), File: 5, Offset: 80, Stored: 108, Length: 100}
	f.Add(good.Append(nil))
	f.Add([]byte{0, 0, 80, 9, 1})
	f.Fuzz(func(t *testing.T, p []byte) {
		ref, err := blob.DecodeRef(p)
		if err != nil {
			require.ErrorIs(t, err, blob.ErrMalformedRef)
			return
		}
		require.Equal(t, p, ref.Append(nil))
		require.Positive(t, ref.ValueLen())
	})
}

// Any bytes are a blob file or are refused, by readers of every kind, whatever is asked of
// it, and nothing is allocated beyond what a reference declares.
func FuzzFile(f *testing.F) {
	for _, c := range codecs {
		fs := vfs.NewMem()
		m, refs := write(f, fs, "b", c, text(300), []byte("x"), noise(60))
		f.Add(content(f, fs, "b", m.Size), refs[0].Append(nil))
	}
	f.Fuzz(func(t *testing.T, p, reference []byte) {
		fs := vfs.NewMem()
		put(t, fs, "b", p)
		refused := func(err error) {
			if err != nil && !errors.Is(err, blob.ErrCorrupt) && !errors.Is(err, blob.ErrTooNew) && !errors.Is(err, blob.ErrSealed) {
				t.Fatal(err)
			}
		}
		ref, rerr := blob.DecodeRef(reference)
		bounded := rerr == nil && ref.Length <= 4<<20
		r, got, err := blob.OpenDamaged(mustOpen(t, fs, "b"), blob.DamagedOptions{Name: "b"})
		refused(err)
		if err != nil {
			return
		}
		if bounded {
			_, err = r.Append(nil, &ref)
			refused(err)
		}
		f := mustOpen(t, fs, "b")
		s, err := blob.Open(f, blob.ReaderOptions{UID: got, Size: int64(len(p)), Name: "b"})
		refused(err)
		if err != nil {
			return
		}
		_, err = s.Examine(context.Background())
		require.NoError(t, err)
		refused(s.Verify(context.Background()))
		if bounded {
			_, err = s.Append(nil, &ref)
			refused(err)
		}
	})
}

// A block that decompresses to more than it says, or says more than is asked for, takes no
// memory.
func TestHostileBlocksTakeNoMemory(t *testing.T) {
	huge := make([]byte, 64<<20)
	for _, c := range []block.Codec{block.CodecS2, block.CodecZstd} {
		fs := vfs.NewMem()
		m, refs := write(t, fs, "b", c, text(300))
		p := content(t, fs, "b", m.Size)
		// A block of 64 MiB of zeros, sealed for the place of the value.
		bomb, err := block.Seal(nil, c, &block.Guard{Seed: fileid.NewSeed(fileid.KindBlob, uid)}, refs[0].Offset, huge)
		require.NoError(t, err)
		p = append(append(p[:refs[0].Offset:refs[0].Offset], bomb...), p[refs[0].Offset+refs[0].Stored:]...)
		put(t, fs, "bomb", p)
		r, _, err := blob.OpenDamaged(mustOpen(t, fs, "bomb"), blob.DamagedOptions{Name: "bomb"})
		require.NoError(t, err)
		ref := refs[0]
		if ref.Stored = int64(len(bomb)); ref.Stored > 308 {
			ref.Length = ref.Stored - block.TrailerLen
		}
		took := allocated(func() { _, err = r.Append(nil, &ref) })
		require.ErrorIs(t, err, blob.ErrCorrupt)
		require.Less(t, took, uint64(1<<20))
		require.NoError(t, r.Close())
	}
}
