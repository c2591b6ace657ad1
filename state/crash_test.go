package state_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/internal/seams"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/envelope"
	"github.com/loamdb/loam/state/scopefile"
	"github.com/stretchr/testify/require"
)

// The crash harness of the state layer. A history is of all operations that write: values of all classes,
// several at once, changes, blind changes, expiries, documents with their index entries, transactions over
// scopes, scopes dropped, moved, copied and imported to; synced and not. What is stored after each is
// known. Whatever becomes of the process then, what is left is what was stored after one of the operations,
// with all that was promised, and with index entries that are those of the documents.

// history is one that is played again and again: the same steps, whatever becomes of them.
type history struct {
	seed, steps int
	encrypted   bool
	mode        lsm.LogMode
	script      func(store *state.Store, n int) error // what the steps are, all of them synced; nil: by seed

	// Of the time when all went well; the first element of each is before the first step.
	held         []string // what was stored after each step
	synced       []bool   // and whether that was promised for a power cut
	begun, acked []int    // operations of the file system before and after
}

// encryptionIf is the encryption of a store that is encrypted or not.
func encryptionIf(encrypted bool) *lsm.Encryption {
	if !encrypted {
		return nil
	}
	return &lsm.Encryption{Key: masterKey}
}

// bothWays runs a test of stores that are encrypted and, in its ordinary form, of such in clear.
func bothWays(t *testing.T, test func(t *testing.T, encrypted bool)) {
	t.Run("encrypted", func(t *testing.T) { test(t, true) })
	if !testing.Short() {
		t.Run("in clear", func(t *testing.T) { test(t, false) })
	}
}

// open opens a store on a file system, in sizes so small that a short history flushes.
func (h *history) open(fs vfs.FS) (*state.Store, error) {
	o := &lsm.Options{LogMode: h.mode, CompactionWorkers: 1, SyncInterval: -1}
	o.Encryption = encryptionIf(h.encrypted)
	seams.Inject(o, seams.Seams{FS: fs, Sizing: seams.Sizing{
		MinSegmentBytes: 8 << 10, MaxSegmentBytes: 16 << 10, MinMemtableBytes: 8 << 10, MemtableBytes: 8 << 10,
		BudgetBytes: 256 << 10, ManifestBytes: 4 << 10, TableBytes: 4 << 10, L0Trigger: 2, SettleAfter: time.Hour,
	}})
	return state.Open("db", &state.Options{Engine: o})
}

// holdings returns all that is stored, as text.
func holdings(t *testing.T, store *state.Store) string {
	t.Helper()
	snap, err := store.Snapshot()
	require.NoError(t, err)
	defer snap.Close()
	var out []string
	for s, err := range snap.ListScopes(scope.AnyKind, "") {
		require.NoError(t, err)
		rule, err := snap.Scope(s).Retention(ctx)
		require.NoError(t, err)
		out = append(out, fmt.Sprint(s, " ", rule))
		for e, err := range snap.Scope(s).All(ctx, "") {
			require.NoError(t, err)
			text := fmt.Sprint(e.Value)
			out = append(out, fmt.Sprint(s, " ", e.Key, "=", text[:min(12, len(text))], " ", e.Class, " ", e.Expires.IsZero()))
		}
		kept, err := state.Kept(snap.Scope(s))
		require.NoError(t, err)
		for key, value := range kept {
			if doc, ok := strings.CutPrefix(key, "\x00dpeople\x00"); ok {
				_, payload, err := envelope.Decode([]byte(value))
				require.NoError(t, err)
				out = append(out, fmt.Sprintf("%s %s: %x", s, doc, payload))
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// brought is what histories import.
var brought = fileOf([]scopefile.Entry{
	{Collection: "people", Key: "p1", Value: map[string]any{"mail": "b1", "team": "x", "age": int64(1)}},
	{Collection: "people", Key: "p9", Value: map[string]any{"mail": "b9", "team": "x", "age": int64(9)}},
	{Key: "k1", Value: "brought"}, {Key: "k2", Value: "brought", Class: state.Trusted}, {Key: "n", Value: int64(1000)},
})

var crashScopes = []scope.Scope{scope.Agent("a"), scope.Agent("b"), scope.Step("w", "s")}

// act does the n-th step and tells whether a power cut leaves it.
func (h *history) act(store *state.Store, n int) (synced bool, err error) {
	if h.script != nil {
		return true, h.script(store, n)
	}
	rnd := rand.New(rand.NewPCG(uint64(h.seed), uint64(n)))
	name := crashScopes[rnd.IntN(3)]
	sc, key := store.Scope(name), fmt.Sprint("k", rnd.IntN(4))
	opt := state.Sync
	if synced = rnd.IntN(4) > 0; !synced {
		opt = state.NoSync
	}
	switch kind := rnd.IntN(18); kind {
	case 0, 1:
		class := []state.Class{state.Trusted, state.Standard, state.External}[rnd.IntN(3)]
		err = sc.Set(ctx, key, fmt.Sprint(n, " ", strings.Repeat("x", rnd.IntN(1500))), opt, state.WithClass(class))
	case 2:
		err = sc.SetMany(ctx, map[string]any{"k0": n, "k1": n, "k2": n, "n": n}, opt)
	case 3:
		_, err = sc.DeleteMany(ctx, []string{"k0", "k1", "n"}, opt)
	case 4:
		_, err = sc.Delete(ctx, key, opt)
	case 5:
		_, err = sc.Increment(ctx, "n", 1, opt)
	case 6:
		err = sc.IncrementBlind(ctx, "n", 1, opt)
	case 7:
		err = sc.PatchBlind(ctx, "doc", map[string]any{key: n}, opt)
	case 8:
		synced = false // which the value that is replaced decides
		err = sc.Set(ctx, key, n, ephemeral)
	case 9:
		err = sc.SetWithTTL(ctx, key, n, time.Hour, opt)
	case 10:
		err = sc.Drop(ctx, opt)
	case 11, 12:
		err = h.duplicate(store, name, scope.Custom(fmt.Sprint("copy", n)), kind == 11, opt)
	case 13, 14, 15:
		err = h.document(sc, rnd, n, opt)
	case 16:
		if rnd.IntN(2) == 0 {
			sc = store.Scope(scope.Custom(fmt.Sprint("brought", n)))
		}
		_, err = sc.Import(ctx, strings.NewReader(brought), state.ImportOptions{Existing: state.Existing(1 + rnd.IntN(2))}, opt)
	default:
		err = h.transact(store, n, opt)
	}
	return synced, err
}

// duplicate copies or moves a scope, if it is there.
func (h *history) duplicate(store *state.Store, from, to scope.Scope, move bool, opt state.Option) error {
	for s, err := range store.ListScopes(from.Kind(), from.ID()) {
		switch {
		case err != nil:
			return err
		case s != from:
		case move:
			return store.Scope(from).Move(ctx, to, opt)
		default:
			_, err = store.Scope(from).Copy(ctx, to, opt)
			return err
		}
	}
	return nil
}

// document writes or deletes a document.
func (h *history) document(sc *state.Scope, rnd *rand.Rand, n int, opt state.Option) error {
	c, err := state.OpenCollection[person](ctx, sc, "people", byMail, byTeam)
	if err != nil {
		return err
	}
	key := fmt.Sprint("p", rnd.IntN(4))
	if rnd.IntN(4) == 0 {
		_, err = c.Delete(ctx, key, opt)
		return err
	}
	err = c.Set(ctx, key, person{Mail: fmt.Sprint("m", rnd.IntN(6)), Team: fmt.Sprint(n % 2), Age: n}, opt)
	if errors.Is(err, state.ErrUnique) {
		return nil
	}
	return err
}

// transact changes a number in each scope, and a document in one, unless its indexes are to be made first.
func (h *history) transact(store *state.Store, n int, opt state.Option) error {
	err := store.Transact(ctx, func(tx *state.Txn) error {
		for _, s := range crashScopes {
			if _, err := tx.Scope(s).Increment(ctx, "n", 1, state.WithClass(state.Standard), opt); err != nil {
				return err
			}
		}
		c, err := state.OpenCollection[person](ctx, tx.Scope(crashScopes[0]), "people", byMail, byTeam)
		if err != nil {
			return err
		}
		return c.Set(ctx, "txn", person{Mail: "txn", Team: "t", Age: n}, opt)
	})
	if errors.Is(err, state.ErrReopen) {
		return nil
	}
	return err
}

// play plays the history with nothing in its way, and remembers it.
func (h *history) play(t *testing.T, mem *vfs.Mem) *state.Store {
	store, err := h.open(mem)
	require.NoError(t, err)
	h.note(holdings(t, store), true, mem.Ops(), mem.Ops())
	for n := range h.steps {
		begun := mem.Ops()
		synced, err := h.act(store, n)
		require.NoError(t, err, "step %d", n)
		h.note(holdings(t, store), synced, begun, mem.Ops())
	}
	return store
}

// note enters a step. One that has changed nothing has not made durable what was before it.
func (h *history) note(held string, synced bool, begun, acked int) {
	if n := len(h.held); n > 0 && held == h.held[n-1] {
		synced = false
	}
	h.held, h.synced = append(h.held, held), append(h.synced, synced)
	h.begun, h.acked = append(h.begun, begun), append(h.acked, acked)
}

// durable returns the last of the first so many steps that a power cut must leave.
func (h *history) durable(steps int) int {
	for steps > 0 && !h.synced[steps] {
		steps--
	}
	return steps
}

// requireOneOf fails unless what a file system has is what was held after a step from first to last.
func (h *history) requireOneOf(t *testing.T, fs vfs.FS, first, last int, where string) {
	t.Helper()
	store, err := h.open(fs)
	require.NoError(t, err, where)
	got := holdings(t, store)
	require.Contains(t, h.held[first:min(last, h.steps)+1], got, "steps %d to %d, %s", first, last, where)
	requireNothingLeft(t, store)
	for s, err := range store.ListScopes(scope.AnyKind, "") {
		require.NoError(t, err)
		sc := store.Scope(s)
		requireEntries(t, sc, true, where)
		requireAgreement(t, sc, people(t, sc, byMail, byTeam))
	}
	require.NoError(t, store.Close())
}

// B6, B11, B12: whatever a power cut or a kill leaves is what was stored after some operation, with all
// that was promised.
func TestPowerCutsLeaveWholeOperations(t *testing.T) {
	rounds, steps, every := 2, 40, 7
	if testing.Short() {
		rounds, steps, every = 2, 24, 41
	}
	if os.Getenv("LOAM_LONG") != "" {
		rounds, steps, every = 20, 60, 1
	}
	opened := 0
	for round := range rounds {
		h := &history{seed: round, steps: steps, encrypted: round%2 == 1, mode: []lsm.LogMode{lsm.LogWritten, lsm.LogMapped}[round/2%2]}
		opened += h.explore(t, every)
	}
	require.Positive(t, opened)
	t.Logf("%d states", opened)
}

// explore plays the history, and opens what a kill and a power cut leave after each so many-th operation of
// the file system. It returns how many states that are.
func (h *history) explore(t *testing.T, every int) (opened int) {
	mem := vfs.NewCrashMem()
	store := h.play(t, mem)
	e := mem.Explore()
	last, begun := 0, 0
	for k := h.acked[0]; k <= e.Len(); k += every {
		e.AdvanceTo(k)
		for last < h.steps && h.acked[last+1] <= k {
			last++
		}
		for begun < h.steps && h.begun[begun+1] <= k {
			begun++
		}
		h.requireOneOf(t, e.Live().Mem(), last, begun, fmt.Sprint("seed ", h.seed, ", killed after ", k))
		from := h.durable(last)
		for left := range e.States(vfs.StateOptions{Random: 1, Pending: 1, Cuts: 1, Expect: uint64(from*1000 + begun + 1)}) {
			h.requireOneOf(t, left.Mem(), from, begun, fmt.Sprint("seed ", h.seed, ", ", left))
			opened++
		}
	}
	require.NoError(t, store.Close())
	return opened
}

// B11: an import is all there or not at all, whether the scope was there or not, and what it has staged is gone.
func TestImportsAreWholeAfterPowerCuts(t *testing.T) {
	entries := []scopefile.Entry{{Collection: "people", Key: "p1", Value: map[string]any{"mail": "new"}}}
	for i := range 260 { // more than goes into a commit
		entries = append(entries, scopefile.Entry{Key: fmt.Sprintf("k%03d", i), Value: int64(i)})
	}
	file := fileWith(scopefile.Retention{MaxEntries: 5000}, entries)
	script := func(store *state.Store, n int) error {
		there, o := store.Scope(agent), state.ImportOptions{Existing: state.ExistingReplace, Retention: true}
		switch n {
		case 0:
			c, err := state.OpenCollection[person](ctx, there, "people", byMail, byTeam)
			if err != nil {
				return err
			}
			return c.Set(ctx, "p1", person{Mail: "old"})
		case 1:
			_, err := there.Import(ctx, strings.NewReader(file), o)
			return err
		}
		_, err := store.Scope(other).Import(ctx, strings.NewReader(file), o)
		return err
	}
	every := 8 // in each form
	if testing.Short() {
		every = 71
	}
	for _, encrypted := range []bool{false, true} {
		h := &history{steps: 3, encrypted: encrypted, mode: lsm.LogWritten, script: script}
		require.Positive(t, h.explore(t, every))
	}
}

// B6, B11, B12, B22: a call that fails fails an operation, with an error that names it, or nothing at all;
// and what is left then is as after a kill or a power cut.
func TestFailingCallsLeaveWholeOperations(t *testing.T) {
	rounds, every := 2, 1
	if testing.Short() {
		every = 13
	}
	if os.Getenv("LOAM_LONG") != "" {
		rounds = 50
	}
	met := 0
	for round := range rounds {
		h := &history{seed: 100 + round, steps: 24, encrypted: round%2 == 1, mode: lsm.LogWritten}
		counter := vfs.NewFaults(vfs.NewMem())
		h.count(t, counter)
		calls := counter.Count(vfs.OpAll&^vfs.OpClose, "")
		for n := 0; n < calls; n += every {
			rule := vfs.Rule{
				Kinds: vfs.OpAll &^ vfs.OpClose, Skip: n, Forever: n%2 == 1, Effect: []vfs.Effect{vfs.Fail, vfs.FailAfter, vfs.Short}[n%3],
			}
			if rule.Effect != vfs.Short {
				rule.Err = vfs.FaultErrors()[n%len(vfs.FaultErrors())]
			}
			if h.sweep(t, rule, fmt.Sprintf("round %d, call %d of %d: %+v", round, n, calls, rule)) {
				met++
			}
		}
	}
	require.Greater(t, met, 10)
	t.Logf("%d faults", met)
}

// count plays the history on a file system that counts.
func (h *history) count(t *testing.T, fs vfs.FS) {
	store, err := h.open(fs)
	require.NoError(t, err)
	h.note(holdings(t, store), true, 0, 0)
	for n := range h.steps {
		synced, err := h.act(store, n)
		require.NoError(t, err, "step %d", n)
		h.note(holdings(t, store), synced, 0, 0)
	}
	require.NoError(t, store.Close())
}

// sweep plays the history with a call that goes wrong, up to the first operation that fails, and reports
// whether one went wrong.
func (h *history) sweep(t *testing.T, rule vfs.Rule, where string) bool {
	mem := vfs.NewCrashMem()
	faults := vfs.NewFaults(mem, rule)
	done, tried := 0, 0
	store, err := h.open(faults)
	for err == nil && tried < h.steps {
		tried++
		if _, err = h.act(store, done); err == nil {
			done++
		}
	}
	killed, cut := mem.Copy(), mem.CrashCopy()
	if store != nil {
		_ = store.Close() // of a process that is no more
	}
	if err != nil && store != nil {
		var named *state.Error
		require.ErrorAs(t, err, &named, where)
		require.NotEmpty(t, named.Op, where)
	}
	h.requireOneOf(t, killed, done, tried, where+", killed")
	h.requireOneOf(t, cut, h.durable(done), tried, where+", power cut")
	return len(faults.Fired()) > 0
}
