package lsm

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// The directory says which id a scope has. It is made of ordinary versioned keys in the
// system scope, so that a snapshot sees the directory of its time and a batch changes
// entries and keys together. Canonical description: docs/formats/directory.md.
//
//	key: system scope id · 1 · key form of the scope    value: 1 · scope id    entry
//	key: system scope id · 2 · scope id                 value: 1               death record
//	key: system scope id · 3 · scope id                 value: 1               staged id
//	key: system scope id · 7 · scope id                 value: 1 · key form    name of the id
//
// Two more kinds are records of expiry (expiry_index.go), one is that of horizons
// (horizon_record.go), and four are of scope keys (shred.go, checkpoint_registry.go, vault_forget.go). Names are in directory_names.go.
//
// Invariants:
//
//   - D1. An id is in at most one entry, and was given out once: dead, it is in none ever
//     after.
//   - D2. The batch that takes an id from its entry for good holds its death record. No
//     operation on a key of the id has a greater number.
//   - D3. A change of the directory is in the list of recent changes before it is visible.
//   - D4. What is known of an id is right at every number from its at on, but for changes
//     that the list shows.
//   - D5. The batch that gives an id an entry gives it the name, and the one that takes the
//     entry for good takes the name: at every number the two say the same.

// recordKind begins the keys of the system scope.
type recordKind byte

const (
	recordEntry   recordKind = 1
	recordDeath   recordKind = 2
	recordStaged  recordKind = 3
	recordExpiry  recordKind = 4
	recordEvent   recordKind = 5
	recordHorizon recordKind = 6
	recordName    recordKind = 7

	recordScopeKey   recordKind = 8
	recordShred      recordKind = 9
	recordCheckpoint recordKind = 10
	recordDroppedKey recordKind = 11
)

// recordVersion begins the values of the directory. A greater one is a newer format's.
const recordVersion = 1

var systemKeys = scopeKeys{scope.AppendID(nil, scope.System), scope.AppendUpperBound(nil, scope.System)}

// appendEntryKey appends the key of a scope's entry, within the system scope.
func appendEntryKey(dst []byte, s scope.Scope) []byte {
	return scope.AppendKey(append(dst, byte(recordEntry)), s)
}

func entryKey(s scope.Scope) []byte { return appendEntryKey(nil, s) }

// idKey returns the key of a death record, of a staged id or of a name.
func idKey(kind recordKind, id scope.ID) []byte { return scope.AppendID([]byte{byte(kind)}, id) }

func entryValue(id scope.ID) []byte { return scope.AppendID([]byte{recordVersion}, id) }

var flagValue = []byte{recordVersion}

// checkRecord returns what follows the version in a value.
func checkRecord(value []byte) ([]byte, error) {
	switch {
	case len(value) == 0:
		return nil, directoryError(codec.ErrTruncated)
	case value[0] > recordVersion:
		return nil, fmt.Errorf("%w: record of the directory", ErrTooNew)
	case value[0] != recordVersion:
		return nil, directoryError(codec.ErrMalformed)
	}
	return value[1:], nil
}

// decodeEntry returns the id of an entry.
func decodeEntry(value []byte) (scope.ID, error) {
	rest, err := checkRecord(value)
	if err != nil {
		return 0, err
	}
	return decodeWholeID(rest)
}

// decodeWholeID returns the id that p holds and nothing besides.
func decodeWholeID(p []byte) (scope.ID, error) {
	id, n, err := scope.DecodeID(p)
	if err == nil && (n != len(p) || id <= scope.System) {
		err = codec.ErrMalformed
	}
	if err != nil {
		return 0, directoryError(err)
	}
	return id, nil
}

func directoryError(err error) error {
	return &CorruptionError{File: "scope directory", Offset: -1, Err: err}
}

// resolved is the id that a scope had at the number at. Constant but for at, which grows
// as it is found to hold later.
type resolved struct {
	scopeKeys
	room   [2 * scope.MaxEncodedLen]byte // for the keys
	id     scope.ID
	sealed bool // as a whole; known of what writers use
	since  keys.SeqNum
	at     atomic.Uint64
}

// keysOfID returns the bounds of an id's keys, in one piece of memory, which is dst's if that has room.
func keysOfID(dst []byte, id scope.ID) scopeKeys {
	both := scope.AppendID(dst, id)
	n := len(both)
	both = scope.AppendUpperBound(both, id)
	return scopeKeys{both[:n:n], both[n:]}
}

func newResolved(id scope.ID, at keys.SeqNum) *resolved {
	r := &resolved{id: id, since: at}
	r.scopeKeys = keysOfID(r.room[:0], id)
	r.at.Store(uint64(at))
	return r
}

// holdsTo notes that the id was still the scope's at seq.
func (r *resolved) holdsTo(seq uint64) {
	for old := r.at.Load(); old < seq && !r.at.CompareAndSwap(old, seq); old = r.at.Load() {
	}
}

// directory is what is kept in memory of the directory: recent changes, recently used
// entries, and the ids to give out.
type directory struct {
	// taken is the number of the last batch that took an id from its entry. While it is
	// not above what a reader has resolved, nothing needs to be looked at.
	taken atomic.Uint64

	mu    sync.RWMutex // guards the rest; written by the leader only
	ring  []dirChange  // by number, the oldest at next once it is full
	next  int
	floor keys.SeqNum // changes up to here may have left the ring

	cache scopeCache
	ids   scopeIDs
}

// dirChange is one change of the directory by the batch that ends at seq: an id lost its
// entry, a name was given one, or both.
type dirChange struct {
	seq  keys.SeqNum
	id   scope.ID // 0: none lost its entry
	name uint64   // hash of the key of the entry that was made; 0: none was
}

// maxRecentChanges bounds the ring. Whoever resolved a scope so many changes ago resolves
// it again.
const maxRecentChanges = 4096

// nameHash tells the names of scopes apart well enough: two with one hash cost a needless
// second attempt.
func nameHash(entryKey []byte) uint64 { return keys.Hash(entryKey) | 1 }

func (c *directory) init(budget int64) {
	c.cache.half = int(min(max(budget>>14, 256), 4096))
}

// openDirectory begins to give out ids above the mark: those up to it may be in use.
func (d *DB) openDirectory(s *manifest.State) {
	ids := &d.directory.ids
	ids.mark = max(s.ReservedScopeID, uint64(scope.System))
	if mutant.Enabled && mutant.Is(mutant.ReuseScopeID) {
		ids.mark = uint64(scope.System)
	}
	ids.last = ids.mark
	d.reaper.oldMark, d.reaper.openedAt = scope.ID(s.ReservedScopeID), d.lastSeqNum
}

// record lists changes that a batch makes which ends at seq. Called by the leader, before
// the batch can become visible (D3).
func (c *directory) record(changes []dirChange, seq keys.SeqNum) {
	if len(changes) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range changes {
		ch.seq = seq
		if len(c.ring) < maxRecentChanges {
			c.ring = append(c.ring, ch)
		} else {
			c.floor = c.ring[c.next].seq
			c.ring[c.next] = ch
			c.next = (c.next + 1) % maxRecentChanges
		}
		if ch.id != 0 {
			c.taken.Store(uint64(seq))
		}
	}
}

// claim is what a reader or a batch relies on: that since the number at an id has kept its
// entry, or that a name has got none.
type claim struct {
	at   keys.SeqNum
	id   scope.ID
	name uint64
}

// brokenLocked returns the number of the change that breaks the claim, among those up to
// upTo, or 0. Where that is not known any more it returns the number up to which it is not.
func (c *directory) brokenLocked(cl claim, upTo keys.SeqNum) keys.SeqNum {
	for i := len(c.ring) - 1; i >= 0; i-- {
		ch := &c.ring[(c.next+i)%len(c.ring)]
		if ch.seq <= cl.at {
			return 0
		}
		if ch.seq <= upTo && (cl.id != 0 && ch.id == cl.id || cl.name != 0 && ch.name == cl.name) {
			return ch.seq
		}
	}
	if c.floor > cl.at {
		return c.floor
	}
	return 0
}

// conflict returns the number of a change up to upTo that breaks one of the claims, or 0. To
// the leader everything that it has numbered is listed. Others must not ask beyond the visible
// number: what is listed and not on its way to publication yet is nothing to wait for.
func (c *directory) conflict(claims []claim, upTo keys.SeqNum) keys.SeqNum {
	if mutant.Enabled && mutant.Is(mutant.StaleScopeID) {
		return 0
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, cl := range claims {
		if cl.id != 0 && uint64(cl.at) >= c.taken.Load() {
			continue
		}
		if seq := c.brokenLocked(cl, upTo); seq != 0 {
			return seq
		}
	}
	return 0
}

// stillNamed reports whether r held at every number up to the visible one. Asked after a
// read it tells that the read met the right keys.
func (d *DB) stillNamed(r *resolved) bool {
	c := &d.directory
	taken := c.taken.Load()
	at := r.at.Load()
	if taken <= at || mutant.Enabled && mutant.Is(mutant.StaleScopeRead) {
		return true
	}
	visible := d.visible.load() // at or above what was read
	c.mu.RLock()
	broken := c.brokenLocked(claim{at: keys.SeqNum(at), id: r.id}, visible)
	c.mu.RUnlock()
	if broken != 0 {
		return false
	}
	r.holdsTo(min(taken, uint64(visible)))
	return true
}

// lookUp returns the id that the entry has at seq, which is keys.MaxSeqNum for now or that
// of a snapshot, or 0 if there is no entry.
func (d *DB) lookUp(entryKey []byte, seq keys.SeqNum) (scope.ID, error) {
	var buf [1 + scope.MaxEncodedLen]byte
	value, err := d.get(buf[:0], systemKeys.prefix, entryKey, seq)
	if err == ErrNotFound { // returned bare
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return decodeEntry(value)
}

// scopeCache keeps resolved scopes, a bounded number of them: what was used since the
// younger half began, and what the older half still has.
type scopeCache struct {
	half int // entries of a half

	mu             sync.Mutex
	younger, older map[scope.Scope]*resolved
}

func (c *scopeCache) get(s scope.Scope) *resolved {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.younger[s]; r != nil {
		return r
	}
	r := c.older[s]
	if r != nil {
		c.putLocked(s, r)
	}
	return r
}

func (c *scopeCache) put(s scope.Scope, r *resolved) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLocked(s, r)
}

func (c *scopeCache) putLocked(s scope.Scope, r *resolved) {
	if len(c.younger) >= c.half {
		c.older, c.younger = c.younger, nil
	}
	if c.younger == nil {
		c.younger = map[scope.Scope]*resolved{}
	}
	c.younger[s] = r
}

// forget drops r unless another was put in its place.
func (c *scopeCache) forget(s scope.Scope, r *resolved) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, half := range []map[scope.Scope]*resolved{c.younger, c.older} {
		if half[s] == r {
			delete(half, s)
		}
	}
}

// scopeIDs gives out ids, each once in the life of the store. Those up to mark are in the
// manifest as given out; a store that is opened starts above them. The mark rises in steps
// that grow with use, so that short lives waste few of the short ids.
type scopeIDs struct {
	mu   sync.Mutex // held while the mark is raised: none but creators of scopes wait
	last uint64     // the last one given out
	mark uint64
	step uint64
}

const (
	minScopeStep = 16
	maxScopeStep = 16 << 10
)

// newScopeID returns an id that nothing has had.
func (d *DB) newScopeID() (scope.ID, error) {
	ids := &d.directory.ids
	ids.mu.Lock()
	defer ids.mu.Unlock()
	if ids.last >= uint64(scope.MaxID)-2*maxPlaceholders {
		return 0, fmt.Errorf("lsm: no scope id is left")
	}
	if ids.last == ids.mark {
		step := min(max(2*ids.step, minScopeStep), maxScopeStep)
		mark := ids.mark + step
		err := d.install(func(*manifest.Version) (*manifest.Edit, error) {
			return &manifest.Edit{ReservedScopeID: mark}, nil
		}, nil)
		if err != nil {
			return 0, fmt.Errorf("lsm: reserve scope ids: %w", err)
		}
		ids.mark, ids.step = mark, step
	}
	ids.last++
	return scope.ID(ids.last), nil
}

// greatestID returns the greatest id that an entry of the store shows to have been given out:
// that of its key, or one that stands in the directory.
func greatestID(key, value []byte) scope.ID {
	id, n, err := scope.DecodeID(key)
	if err != nil || id != scope.System || len(key) == n || mutant.Enabled && mutant.Is(mutant.ForgetNamedIDs) {
		return id
	}
	named := scope.ID(0)
	switch recordKind(key[n]) {
	case recordEntry:
		named, _ = decodeEntry(value) // what is no entry names none
	case recordDeath, recordStaged, recordName, recordScopeKey:
		named, _ = decodeWholeID(key[n+1:])
	case recordExpiry:
		if _, entry, err := decodeExpiryKey(key[n:]); err == nil {
			named, _, _ = scope.DecodeID(entry)
		}
	}
	return max(id, named)
}
