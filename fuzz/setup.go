package fuzz

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/seal/sealtest"
	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// Dir is the directory of every store of this package, in its own file system.
const Dir = "db"

// Setup is how a store is opened: with sizes so small that a few hundred batches reach
// rotation of the log, flushes, compactions and rolls of the manifest.
type Setup struct {
	// Seed decides identities and the options that vary. Stores of every third seed are
	// encrypted.
	Seed uint64
	// Mode is how unsynced commits reach the log.
	Mode lsm.LogMode
	// Follow lets a Player watch the store, and compare what it hears with the ledger.
	Follow bool
	// Nonces, when set, notes what encrypted stores seal.
	Nonces *sealtest.Nonces
	// Blobs puts most values into blob files, which are kept to little garbage.
	Blobs bool
}

// lives numbers the openings of this process. An opening must not draw the identities
// that an earlier one on the same files has drawn, or a record of an earlier life of a
// file would pass for one of the present.
var lives atomic.Uint64

// Options returns the options of one opening on fs. Each call gives other identities,
// and a clock of its own that moves a millisecond each time it is read.
func (s Setup) Options(fs vfs.FS) *lsm.Options {
	rnd := rand.New(rand.NewPCG(s.Seed, 0))
	o := &lsm.Options{
		Compression:       []lsm.Compression{lsm.NoCompression, lsm.S2, lsm.Zstd, lsm.S2ThenZstd}[rnd.IntN(4)],
		BlockBytes:        512 << rnd.IntN(2),
		FilterBitsPerKey:  10,
		LogMode:           s.Mode,
		CompactionWorkers: 1,
		SyncInterval:      -1, // what is synced is what the history syncs
		ExpiryEvents:      s.Seed%2 == 1,
	}
	if o.BlobThreshold = -1; s.Blobs {
		o.BlobThreshold, o.BlobSpacePercent = 16, 120
	}
	if s.Encrypted() {
		o.Encryption = &lsm.Encryption{
			Key:    crypto.KeyBytes(bytes.Repeat([]byte{7}, crypto.KeyLen)),
			Policy: crypto.Policy{MaxBytes: 64 << 10}, // so that keys change under way
		}
	}
	var ticks atomic.Int64
	var wrap seams.WrapCipher
	if s.Nonces != nil {
		wrap = s.Nonces.Wrap
	}
	seams.Inject(o, seams.Seams{
		FS: fs, WrapCipher: wrap,
		Random: newRandom(s.Seed, lives.Add(1)),
		Now:    func() time.Time { return time.UnixMilli(1e12 + ticks.Add(1)) },
		Sizing: seams.Sizing{
			MinSegmentBytes: 8 << 10, MaxSegmentBytes: 16 << 10,
			MinMemtableBytes: 8 << 10, MemtableBytes: 8 << 10, BudgetBytes: 256 << 10,
			ManifestBytes: 1 << 10, TableBytes: 4 << 10,
			L0Trigger: 2, L0Slow: 8, L0Stop: 16, ReserveSeqNums: 100,
			WatchBytes: 4 << 10, SettleAfter: time.Millisecond, SettleDeletes: 8, SettleBytes: 8 << 10,
		},
	})
	return o
}

// Encrypted reports whether the stores are.
func (s Setup) Encrypted() bool { return s.Seed%3 == 0 }

// random is a source of identities from a seed, for any number of goroutines.
type random struct {
	mu  sync.Mutex
	src *rand.ChaCha8
}

func newRandom(seed, life uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], life)
	return &random{src: rand.NewChaCha8(key)}
}

// Read implements io.Reader.
func (r *random) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.src.Read(p)
}
