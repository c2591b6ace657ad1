package lsm

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/sstable/block"
	"github.com/stretchr/testify/require"
)

// prose is n bytes that compress, other ones for each seed.
func prose(seed, n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "turn %d of conversation %d said what was said before; ", i, seed)
	}
	return b.String()[:n]
}

// tableCodecs counts the tables of each level by the codec that they say.
func tableCodecs(t *testing.T, db *DB) (out [manifest.NumLevels]map[block.Codec]int) {
	t.Helper()
	guard := db.readers.Enter()
	v := db.state.Load().version
	v.ref()
	guard.Leave()
	defer v.unref()
	codecs := map[string]block.Codec{}
	for i := range v.runs {
		for _, tab := range v.runs[i].tables {
			r, err := tab.open()
			require.NoError(t, err)
			codecs[manifest.TableName(tab.meta.Num)] = block.Codec(r.Properties().Codec)
		}
	}
	v.All(func(level manifest.Level, _ manifest.RunID, tab *manifest.Table) bool {
		if out[level] == nil {
			out[level] = map[block.Codec]int{}
		}
		out[level][codecs[manifest.TableName(tab.Num)]]++
		return true
	})
	return out
}

// blobCodecs counts the blob files by codec.
func blobCodecs(t *testing.T, db *DB) map[block.Codec]int {
	t.Helper()
	db.manifestMu.Lock()
	defer db.manifestMu.Unlock()
	out := map[block.Codec]int{}
	for _, b := range db.blobs {
		r, err := b.open()
		require.NoError(t, err)
		out[r.Codec()]++
	}
	return out
}

// With S2ThenZstd what is merged again soon is S2, what stays is Zstd: tables of the last
// level, be it that a compaction or a flush has put them there, and blob files.
func TestCompressionFollowsWhatStays(t *testing.T) {
	z := small()
	z.L0Trigger = 100 // compactions are by hand
	for c, want := range map[Compression][2]block.Codec{
		NoCompression: {block.CodecNone, block.CodecNone}, DefaultCompression: {block.CodecS2, block.CodecS2},
		S2: {block.CodecS2, block.CodecS2}, Zstd: {block.CodecZstd, block.CodecZstd},
		S2ThenZstd: {block.CodecS2, block.CodecZstd},
	} {
		t.Run(c.String(), func(t *testing.T) {
			soon, stays := want[0], want[1]
			db := openSized(t, vfs.NewMem(), Options{Compression: c, BlobThreshold: 4 << 10}, z)
			flush := func(from, n int) {
				for i := range n {
					require.NoError(t, db.Set(fmt.Appendf(nil, "k%05d", from+i), []byte(prose(i, 300)), NoSync))
				}
				require.NoError(t, db.Flush(context.Background()))
			}
			flush(0, 40)   // nothing lies below it
			flush(100, 40) // nor below this one
			require.Equal(t, map[block.Codec]int{stays: 2}, tableCodecs(t, db)[manifest.LastLevel])
			flush(0, 40) // over the first
			require.NoError(t, db.Delete([]byte("k09999"), NoSync))
			require.NoError(t, db.Flush(context.Background())) // a tombstone does not go down
			require.Equal(t, map[block.Codec]int{soon: 2}, tableCodecs(t, db)[0])
			require.NoError(t, db.Compact(context.Background(), nil, nil))
			levels := tableCodecs(t, db)
			require.Empty(t, levels[0])
			require.Equal(t, 1, len(levels[manifest.LastLevel]))
			require.Positive(t, levels[manifest.LastLevel][stays])
			require.NoError(t, db.Set([]byte("large"), []byte(prose(1, 10_000)), nil))
			require.NoError(t, db.Flush(context.Background()))
			require.Equal(t, map[block.Codec]int{stays: 1}, blobCodecs(t, db))
			require.NoError(t, db.Verify(context.Background()))
		})
	}
}

// The option may be another at each opening: a table says how it was written. What such a store
// holds is read, verified, copied, taken in and salvaged like any other, on disk and in memory.
func TestCompressionMayChangeBetweenOpenings(t *testing.T) {
	all := []Compression{NoCompression, S2ThenZstd, S2, Zstd, DefaultCompression}
	for _, place := range []string{"memory", "disk"} {
		t.Run(place, func(t *testing.T) {
			var fs vfs.FS = vfs.NewMem()
			dir := "db"
			if place == "disk" {
				fs, dir = vfs.NewOS(), filepath.Join(t.TempDir(), "db")
			}
			z := small()
			z.L0Trigger = 100
			options := func(c Compression) *Options {
				return &Options{Compression: c, BlobThreshold: 4 << 10, CompactionWorkers: 1,
					seams: seams.Seams{FS: fs, Outside: fs, Sizing: z}}
			}
			ctx := context.Background()
			want := map[string]string{}
			set := func(db *DB, key, value string) {
				require.NoError(t, db.Set([]byte(key), []byte(value), NoSync))
				want[key] = value
			}
			check := func(db *DB) {
				t.Helper()
				n := 0
				for e, err := range db.Scan(nil, nil) {
					require.NoError(t, err)
					require.Equal(t, want[string(e.Key)], string(e.Value))
					n++
				}
				require.Equal(t, len(want), n)
				for k, v := range want {
					got, err := db.Get([]byte(k))
					require.NoError(t, err)
					require.Equal(t, v, string(got))
				}
				require.NoError(t, db.Verify(ctx))
			}
			codecs := map[block.Codec]bool{}
			for life, c := range all {
				db, err := Open(dir, options(c))
				require.NoError(t, err)
				check(db)
				for i := range 40 {
					set(db, fmt.Sprintf("k%03d", i*(life+1)), prose(i+life, 400))
				}
				set(db, fmt.Sprintf("large%d", life), prose(life, 9000))
				require.NoError(t, db.Flush(ctx))
				file := filepath.Join(filepath.Dir(dir), fmt.Sprintf("in-%d.sst", life))
				w, err := NewTableWriter(file, options(c))
				require.NoError(t, err)
				for i := range 30 {
					k, v := fmt.Sprintf("in%d-%02d", life, i), prose(i, 200)
					require.NoError(t, w.Set([]byte(k), []byte(v)))
					want[k] = v
				}
				require.NoError(t, w.Finish())
				require.NoError(t, db.Ingest(ctx, file))
				if life == len(all)-1 {
					for _, level := range tableCodecs(t, db) {
						for codec := range level {
							codecs[codec] = true
						}
					}
				}
				check(db)
				set(db, fmt.Sprintf("log%d", life), "in the log alone")
				require.NoError(t, db.Close())
			}
			require.Len(t, codecs, 3, "a store of every codec")

			db, err := Open(dir, options(S2ThenZstd))
			require.NoError(t, err)
			copied := filepath.Join(filepath.Dir(dir), "copy")
			require.NoError(t, db.Checkpoint(ctx, copied))
			check(db)
			require.NoError(t, db.Close())
			report, err := Verify(ctx, copied, options(Zstd))
			require.NoError(t, err)
			require.NoError(t, report.Err())
			saved := filepath.Join(filepath.Dir(dir), "saved")
			salvage, err := Salvage(ctx, dir, saved, options(S2ThenZstd))
			require.NoError(t, err)
			require.True(t, salvage.Complete(), salvage.String())
			for name, c := range map[string]Compression{copied: NoCompression, saved: S2ThenZstd, dir: S2ThenZstd} {
				db, err := Open(name, options(c))
				require.NoError(t, err)
				check(db)
				if name == saved {
					require.Equal(t, 1, len(tableCodecs(t, db)[manifest.LastLevel]))
					require.Positive(t, tableCodecs(t, db)[manifest.LastLevel][block.CodecZstd])
				}
				require.NoError(t, db.Compact(ctx, nil, nil))
				check(db)
				require.NoError(t, db.Close())
			}
		})
	}
}
