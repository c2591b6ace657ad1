package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
)

// careStore is a store at rest that is damaged in many ways: what it must hold, and every
// value that each key ever had.
type careStore struct {
	mem   *vfs.Mem
	files map[string][]byte
	names []string
	want  map[string]string
	ever  map[string][]string
	z     seams.Sizing
	// encrypted ones are those that were killed. Their keyring is left alone: without it nothing is read.
	encrypted bool
	// entries is how many a closed store holds in its tables and its log.
	entries int64
}

// careSizes are so small that a thousand writes reach every mechanism.
func careSizes() seams.Sizing {
	z := small()
	z.MinSegmentBytes, z.MaxSegmentBytes = 8<<10, 8<<10
	z.MinMemtableBytes, z.MemtableBytes, z.TableBytes = 8<<10, 8<<10, 4<<10
	z.ManifestBytes = 4 << 10
	z.L0Trigger = 3
	return z
}

// newCareStore makes a store with levels, older versions, tombstones, and a log, in which
// some keys are only. It is closed, or killed.
func newCareStore(t testing.TB, seed uint64, closed bool) *careStore {
	t.Helper()
	mem := vfs.NewMem()
	s := &careStore{files: map[string][]byte{}, want: map[string]string{}, ever: map[string][]string{}, z: careSizes(), encrypted: !closed}
	rng := rand.New(rand.NewPCG(seed, 1))
	o := s.options(mem)
	o.Compression = []Compression{NoCompression, S2, Zstd, S2ThenZstd}[seed%4]
	db, err := Open("db", o)
	require.NoError(t, err)
	defer db.Close()
	do := func(n int) {
		for i := range n {
			k := fmt.Sprintf("key-%03d", rng.IntN(200))
			w := NoSync
			if i == n-1 {
				w = nil
			}
			if rng.IntN(5) == 0 {
				delete(s.want, k)
				require.NoError(t, db.Delete([]byte(k), w))
				continue
			}
			s.want[k] = fmt.Sprintf("%s as of %d with some more text %d", k, len(s.ever[k]), rng.IntN(1e6))
			s.ever[k] = append(s.ever[k], s.want[k])
			require.NoError(t, db.Set([]byte(k), []byte(s.want[k]), w))
		}
	}
	for range 5 {
		do(90)
		require.NoError(t, db.Flush(context.Background()))
	}
	require.NoError(t, db.Compact(context.Background(), nil, nil))
	for range 2 {
		do(60)
		require.NoError(t, db.Flush(context.Background()))
	}
	do(40)
	if closed {
		require.NoError(t, db.Close())
	}
	s.mem = mem.Copy()
	s.names, err = s.mem.List("db")
	require.NoError(t, err)
	s.names = slices.DeleteFunc(s.names, func(name string) bool { return name == "LOCK" || name == crypto.KeyringName })
	for _, name := range s.names {
		s.files[name] = readAll(t, s.mem, path.Join("db", name))
	}
	r, err := Verify(context.Background(), "db", s.options(s.mem.Copy()))
	require.NoError(t, err)
	s.entries = r.Entries + r.Recovery.ReplayedOps
	return s
}

func readAll(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name, vfs.ReadOnly)
	require.NoError(t, err)
	size, err := f.Size()
	require.NoError(t, err)
	p := make([]byte, size)
	if _, err := f.ReadAt(p, 0); !errors.Is(err, io.EOF) {
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	return p
}

// replaceFile gives a file of the copy other content.
func replaceFile(t testing.TB, fs vfs.FS, name string, p []byte) {
	t.Helper()
	f, err := fs.Open(path.Join("db", name), vfs.ReadWrite)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(0))
	_, err = f.WriteAt(p, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func (s *careStore) options(fs vfs.FS) *Options {
	o := &Options{CompactionWorkers: 1, SyncInterval: -1, BlockBytes: 512}
	if s.encrypted {
		o.Encryption = &Encryption{Key: masterKey(1)}
	}
	o.seams = seams.Seams{FS: fs, Sizing: s.z}
	return o
}

// content opens a store and reads all of it.
func (s *careStore) content(fs vfs.FS, dir string) (map[string]string, error) {
	o := s.options(fs)
	o.ReadOnly = true
	db, err := Open(dir, o)
	if err != nil {
		return nil, err
	}
	got := map[string]string{}
	for e, err := range db.Scan(nil, nil) {
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		got[string(e.Key)] = string(e.Value)
	}
	return got, db.Close()
}

// suffer verifies and salvages the damaged store on fs and checks all that both promise.
func (s *careStore) suffer(t testing.TB, fs *vfs.Mem, what string) (*VerifyReport, *SalvageReport) {
	t.Helper()
	ctx := context.Background()
	before := map[string][]byte{}
	names, err := fs.List("db")
	require.NoError(t, err)
	for _, name := range names {
		before[name] = readAll(t, fs, path.Join("db", name))
	}
	counted := vfs.NewFaults(fs)
	verified, err := Verify(ctx, "db", s.options(counted))
	require.NoError(t, err, what)
	direct, openErr := s.content(fs, "db")
	torn := openErr == nil && len(verified.Findings) == 0 && !verified.Recovery.Clean
	if torn {
		// An end of the log that no later record vouches for: nobody was promised it.
		whole := *s
		whole.want = direct
		s = &whole
	} else if openErr != nil || !maps.Equal(direct, s.want) {
		require.NotEmpty(t, verified.Findings, "%s: Open says %v and Verify nothing", what, openErr)
	}
	salvaged, err := Salvage(ctx, "db", "new", s.options(counted))
	require.NoError(t, err, what)
	require.Zero(t, counted.Count(changes, "db")+counted.Count(changes, "db/*"), what)
	after, err := fs.List("db")
	require.NoError(t, err)
	require.Equal(t, names, after, what)
	for name, p := range before {
		require.True(t, bytes.Equal(p, readAll(t, fs, path.Join("db", name))), "%s: %s has changed", what, name)
	}
	got, err := s.content(fs, "new")
	require.NoError(t, err, what)
	s.judge(t, got, salvaged, what)
	s.count(t, salvaged, what)
	again, err := Verify(ctx, "new", s.options(fs))
	require.NoError(t, err, what)
	require.NoError(t, again.Err(), what)
	require.Equal(t, salvaged.Entries, again.Entries, what)
	return verified, salvaged
}

// count: what is lost of tables is counted to the entry.
func (s *careStore) count(t testing.TB, r *SalvageReport, what string) {
	t.Helper()
	lost := int64(0)
	for _, f := range r.Files {
		if strings.HasSuffix(f.Name, ".sst") {
			require.GreaterOrEqual(t, f.EntriesLost, int64(0), what)
			require.Equal(t, len(f.Lost) > 0, f.EntriesLost > 0, "%s: %+v", what, f)
			lost += f.EntriesLost
		} else if len(f.Lost) > 0 || f.Name == "log" {
			return
		}
	}
	if r.ManifestRead && r.Recovery.Clean {
		require.Equal(t, s.entries, r.Entries+lost, what)
	}
}

// changes are the calls that change something. A shared lock changes nothing.
const changes = vfs.OpWrites &^ vfs.OpLock

// judge compares what was salvaged with what was there: every difference must be in the
// report, and no value may be there that its key never had.
func (s *careStore) judge(t testing.TB, got map[string]string, r *SalvageReport, what string) {
	t.Helper()
	in := func(ranges []KeyRange, k string) bool {
		return slices.ContainsFunc(ranges, func(r KeyRange) bool { return r.Contains([]byte(k)) })
	}
	var lost []KeyRange
	for _, f := range r.Files {
		for _, l := range f.Lost {
			require.Error(t, l.Err)
			lost = append(lost, l.Keys)
		}
	}
	for k, v := range s.want {
		if _, ok := got[k]; !ok {
			require.True(t, in(lost, k), "%s: %s is missing and not reported\n%s", what, k, r)
			require.False(t, r.Complete())
		} else if got[k] != v {
			require.Contains(t, s.ever[k], got[k], what)
			require.True(t, in(r.Doubtful, k), "%s: %s is older and not reported\n%s", what, k, r)
			require.False(t, r.Complete())
		}
	}
	for k, v := range got {
		if _, ok := s.want[k]; !ok {
			require.Contains(t, s.ever[k], v, what)
			require.True(t, r.DeletedMayReturn, "%s: %s came back and is not reported\n%s", what, k, r)
			require.True(t, !r.ManifestRead || in(r.Doubtful, k), "%s: %s came back\n%s", what, k, r)
		}
	}
}

// A sound store is verified without a finding and salvaged without a loss.
func TestASoundStoreIsSalvagedWhole(t *testing.T) {
	for seed := range uint64(3) {
		for _, closed := range []bool{true, false} {
			s := newCareStore(t, seed, closed)
			fs := s.mem.Copy()
			verified, salvaged := s.suffer(t, fs, "sound")
			require.NoError(t, verified.Err())
			require.Equal(t, closed, verified.Recovery.Clean)
			require.NotZero(t, verified.Recovery.ReplayedOps)
			require.NotZero(t, verified.Tables)
			require.True(t, salvaged.Complete(), salvaged.String())
			require.True(t, salvaged.ManifestRead)
			got, err := s.content(fs, "new")
			require.NoError(t, err)
			require.Equal(t, s.want, got)

			// The new store is one to go on with.
			db, err := Open("new", s.options(fs))
			require.NoError(t, err)
			require.NoError(t, db.Set([]byte("key-000"), []byte("new"), nil))
			v, err := db.Get([]byte("key-000"))
			require.NoError(t, err)
			require.Equal(t, "new", string(v))
			require.NoError(t, db.Close())
		}
	}
}

// Whichever byte of whichever file is changed: Verify finds what matters, Salvage reports
// every difference, and neither touches the original.
func TestEveryChangedByteIsFoundAndSurvived(t *testing.T) {
	step := 151
	if testing.Short() {
		step = 977
	}
	for _, closed := range []bool{true, false} {
		s := newCareStore(t, 1, closed)
		step := step
		if s.encrypted {
			step *= 2
		}
		for _, name := range s.names {
			for off := 0; off < len(s.files[name]); off += step {
				what := fmt.Sprintf("closed %v, %s, byte %d", closed, name, off)
				p := bytes.Clone(s.files[name])
				p[off] ^= 0xff
				fs := s.mem.Copy()
				replaceFile(t, fs, name, p)
				verified, salvaged := s.suffer(t, fs, what)
				if strings.HasSuffix(name, ".sst") && !slices.Contains(verified.Unlisted, name) {
					require.NotEmpty(t, verified.Findings, what)
					require.Equal(t, name, verified.Findings[0].File, what)
					require.True(t, salvaged.ManifestRead, what)
				}
				// One byte costs one block, or one batch, or nothing.
				if closed {
					require.GreaterOrEqual(t, salvaged.Entries, s.entries-40, what)
				}
				if closed && (name == "CURRENT" || strings.HasPrefix(name, "MANIFEST")) {
					require.GreaterOrEqual(t, salvaged.Entries, s.entries, what)
				}
			}
		}
	}
}

// Files that are cut, empty, missing, or another's.
func TestEveryCutIsFoundAndSurvived(t *testing.T) {
	every := 12
	if testing.Short() {
		every = 2
	}
	for _, closed := range []bool{true, false} {
		s := newCareStore(t, 2, closed)
		for i, name := range s.names {
			p := s.files[name]
			for n := range every {
				at := len(p) * n / every
				fs := s.mem.Copy()
				replaceFile(t, fs, name, p[:at])
				s.suffer(t, fs, fmt.Sprintf("closed %v, %s cut at %d", closed, name, at))
			}
			fs := s.mem.Copy()
			require.NoError(t, fs.Remove(path.Join("db", name)))
			s.suffer(t, fs, fmt.Sprintf("closed %v, %s removed", closed, name))
			other := s.names[(i+1)%len(s.names)]
			fs = s.mem.Copy()
			replaceFile(t, fs, name, s.files[other])
			s.suffer(t, fs, fmt.Sprintf("closed %v, %s replaced by %s", closed, name, other))
		}
	}
}

// Without CURRENT and manifest the levels are unknown: sequence numbers decide.
func TestSalvageWithoutManifest(t *testing.T) {
	for seed := range uint64(3) {
		s := newCareStore(t, seed, true)
		fs := s.mem.Copy()
		for _, name := range s.names {
			if strings.HasPrefix(name, "MANIFEST") || name == "CURRENT" {
				require.NoError(t, fs.Remove(path.Join("db", name)))
			}
		}
		verified, salvaged := s.suffer(t, fs, "no manifest")
		require.NotEmpty(t, verified.Findings)
		require.False(t, salvaged.ManifestRead)
		require.True(t, salvaged.DeletedMayReturn)
		require.Contains(t, salvaged.String(), "sequence numbers decided")
		got, err := s.content(fs, "new")
		require.NoError(t, err)
		for k, v := range s.want {
			require.Equal(t, v, got[k])
		}
	}
}
