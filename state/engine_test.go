package state_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// inBoth runs a test in clear and encrypted, in memory and on disk.
func inBoth(t *testing.T, test func(t *testing.T, f *fixture, encrypted bool)) {
	for name, encrypted := range map[string]bool{"clear": false, "encrypted": true} {
		t.Run(name, func(t *testing.T) {
			o := &state.Options{NoSync: true, Engine: &lsm.Options{Encryption: encryptionIf(encrypted)}}
			everywhere(t, o, func(t *testing.T, f *fixture) { test(t, f, encrypted) })
		})
	}
}

// A checkpoint that is made while the store is open, and used, is a store with what there was: all but values of
// class Ephemeral, and what is sealed with the original's keys.
func TestACheckpointIsAStore(t *testing.T) {
	inBoth(t, func(t *testing.T, f *fixture, encrypted bool) {
		sc, dir := f.Scope(agent), filepath.Join(t.TempDir(), "copy")
		require.NoError(t, sc.SetMany(ctx, values))
		require.NoError(t, sc.Set(ctx, "k", "before"))
		require.NoError(t, sc.Set(ctx, "passing", 1, ephemeral))
		c := people(t, sc, byMail)
		require.NoError(t, c.Set(ctx, "1", person{Mail: "m"}))
		if encrypted {
			require.NoError(t, sc.Set(ctx, "secret", "s", sensitive))
		}
		_, meta, err := sc.GetWithMeta(ctx, "k")
		require.NoError(t, err)
		require.NoError(t, f.Engine().Checkpoint(ctx, dir))
		require.NoError(t, sc.Set(ctx, "k", "after"))
		var failed *state.Error
		err = f.Engine().Checkpoint(ctx, dir)
		require.ErrorIs(t, err, state.ErrNotEmpty)
		require.ErrorAs(t, err, &failed)
		require.Equal(t, "checkpoint", failed.Op)

		o := &state.Options{Engine: &lsm.Options{Encryption: encryptionIf(encrypted)}}
		if encrypted {
			o.Engine.Encryption.Vault = f.dir
		}
		copied, err := state.Open(dir, o)
		require.NoError(t, err)
		at := copied.Scope(agent)
		v, had, err := at.GetWithMeta(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, "before", v)
		require.Equal(t, meta, had, "with its version and times")
		for key, want := range values {
			v, err := at.Get(ctx, key)
			require.NoError(t, err)
			require.Equal(t, want, v, key)
		}
		_, err = at.Get(ctx, "passing")
		require.ErrorIs(t, err, state.ErrNotFound)
		p, err := people(t, at, byMail).Get(ctx, "1")
		require.NoError(t, err)
		require.Equal(t, "m", p.Mail)
		if encrypted {
			v, err = at.Get(ctx, "secret")
			if f.dir == "" {
				require.ErrorIs(t, err, state.ErrNoScopeKey)
			} else {
				require.NoError(t, err)
				require.Equal(t, "s", v)
			}
		}
		require.NoError(t, at.Set(ctx, "k", "its own"))
		require.NoError(t, copied.Engine().Verify(ctx))
		require.NoError(t, copied.Close())
		v, err = sc.Get(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, "after", v)
	})
}

// Numbers go on in a checkpoint from where they were: whoever opens it in the place of the store can be given a
// fencing token that somebody has already, which docs/retention.md warns of.
func TestACheckpointRepeatsFencingTokens(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		dir := filepath.Join(t.TempDir(), "copy")
		require.NoError(t, f.Set(ctx, agent, "k", 1))
		require.NoError(t, f.Engine().Checkpoint(ctx, dir))
		given := map[state.Token]bool{}
		for i := range 500 {
			l, err := f.AcquireLease(ctx, agent, fmt.Sprint("job", i), "me", time.Minute, state.NoSync)
			require.NoError(t, err)
			given[l.Token()] = true
		}
		copied, err := state.Open(dir, nil)
		require.NoError(t, err)
		defer copied.Close()
		again := 0
		for i := range 20 {
			l, err := copied.AcquireLease(ctx, agent, fmt.Sprint("job", i), "you", time.Minute, state.NoSync)
			require.NoError(t, err)
			if given[l.Token()] {
				again++
			}
		}
		require.NotZero(t, again)
	})
}

// A checkpoint has the rules of who may do what, whoever opens it.
func TestACheckpointHasTheRules(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		dir := filepath.Join(t.TempDir(), "copy")
		require.NoError(t, f.As("root").Scope(agent).Set(ctx, "k", 1))
		require.NoError(t, f.Engine().Checkpoint(ctx, dir))
		copied, err := state.Open(dir, nil)
		require.NoError(t, err)
		defer copied.Close()
		_, err = copied.Get(ctx, agent, "k")
		requireDenied(t, err)
		_, err = copied.As("root").Scope(agent).Get(ctx, "k")
		require.NoError(t, err)
	})
}

// An encrypted store has its checkpoints on record until they are forgotten.
func TestCheckpointsAreOnRecord(t *testing.T) {
	inBoth(t, func(t *testing.T, f *fixture, encrypted bool) {
		dir := filepath.Join(t.TempDir(), "copy")
		require.NoError(t, f.Engine().Checkpoint(ctx, dir))
		var id state.CheckpointID
		recorded := func() (dirs []string) {
			for r, err := range f.Engine().Checkpoints() {
				require.NoError(t, err)
				dirs, id = append(dirs, r.Dir), r.ID
			}
			return dirs
		}
		if encrypted {
			require.Equal(t, []string{dir}, recorded())
			require.ErrorIs(t, f.Engine().MoveCheckpoint(id, dir+"-moved"), state.ErrNotExist)
			require.NoError(t, os.Rename(dir, dir+"-moved"))
			require.NoError(t, f.Engine().MoveCheckpoint(id, dir+"-moved"))
			require.Equal(t, []string{dir + "-moved"}, recorded())
			require.NoError(t, f.Engine().ForgetCheckpoint(id))
		}
		require.Empty(t, recorded())
		require.ErrorIs(t, f.Engine().ForgetCheckpoint(id), state.ErrNotFound)
		require.ErrorIs(t, f.Engine().MoveCheckpoint(id, dir), state.ErrNotFound)
	})
}

// Keys are changed while the store is open, and used.
func TestKeysAreChangedLive(t *testing.T) {
	inBoth(t, func(t *testing.T, f *fixture, encrypted bool) {
		require.NoError(t, f.Set(ctx, agent, "k", 1))
		e, another := f.Engine(), crypto.KeyBytes(bytes.Repeat([]byte{39}, crypto.KeyLen))
		before, err := e.KeyStatus()
		if !encrypted {
			require.ErrorIs(t, err, state.ErrNotEncrypted)
			_, err = e.Anchor()
			require.ErrorIs(t, err, state.ErrNotEncrypted)
			require.ErrorIs(t, e.RotateMasterKey(ctx, another), state.ErrNotEncrypted)
			require.ErrorIs(t, e.RotateDataKeys(), state.ErrNotEncrypted)
			require.ErrorIs(t, e.RetireDataKey(1, nil), state.ErrNotEncrypted)
			return
		}
		require.NoError(t, err)
		require.NoError(t, e.RotateMasterKey(ctx, another))
		require.NoError(t, e.RotateDataKeys())
		after, err := e.KeyStatus()
		require.NoError(t, err)
		require.Greater(t, after.Active, before.Active)
		require.ErrorIs(t, e.RetireDataKey(after.Active, nil), crypto.ErrActive)
		var used *crypto.InUseError
		require.ErrorAs(t, e.RetireDataKey(before.Active, func() ([]string, error) { return []string{"tape 3"}, nil }), &used)
		require.Contains(t, used.Users, "tape 3")
		require.NoError(t, f.Set(ctx, agent, "k", 2))
		anchor, err := e.Anchor()
		require.NoError(t, err)
		if f.dir == "" {
			return
		}
		require.NoError(t, f.Close())
		_, err = state.Open(f.dir, f.opts)
		require.ErrorIs(t, err, lsm.ErrWrongKey)
		f.opts = &state.Options{Engine: &lsm.Options{Encryption: &lsm.Encryption{Key: another, MinAnchor: anchor}}}
		f.open()
		v, err := f.Get(ctx, agent, "k")
		require.NoError(t, err)
		require.Equal(t, int64(2), v)
	})
}

// A horizon is what a Diff can begin from, whatever is deleted and merged away meanwhile.
func TestHorizonsKeepDeletions(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		e := f.Engine()
		require.NoError(t, f.SetMany(ctx, agent, map[string]any{"a": 1, "b": 2}))
		snap, err := f.Snapshot()
		require.NoError(t, err)
		at, err := snap.Position()
		require.NoError(t, err)
		require.NoError(t, e.SetHorizon("nightly", at))
		require.NoError(t, snap.Close())
		all, err := e.Horizons()
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.Equal(t, "nightly", all[0].Name)
		_, err = f.Delete(ctx, agent, "a")
		require.NoError(t, err)
		require.NoError(t, e.Flush(ctx))
		var gone []string
		for c, err := range f.Diff(ctx, agent, at) {
			require.NoError(t, err)
			gone = append(gone, c.Key)
		}
		require.Equal(t, []string{"a"}, gone)
		require.NoError(t, e.RemoveHorizon("nightly"))
		require.ErrorIs(t, e.RemoveHorizon("nightly"), state.ErrNotFound)
		require.ErrorIs(t, e.SetHorizon("", at), scope.ErrInvalid)
	})
}

// A store that is open for reading can be looked at, and changes nothing.
func TestTheEngineOfAStoreThatIsRead(t *testing.T) {
	f := &fixture{t: t, dir: t.TempDir(), opts: &state.Options{Engine: &lsm.Options{Encryption: encryptionIf(true)}}}
	f.open()
	require.NoError(t, f.Set(ctx, agent, "k", 1))
	f.opts.Engine.ReadOnly = true
	f.reopen()
	defer f.Close()
	e := f.Engine()
	require.NoError(t, e.Verify(ctx))
	_, err := e.KeyStatus()
	require.NoError(t, err)
	_, err = e.Anchor()
	require.ErrorIs(t, err, state.ErrReadOnly)
	for _, err := range []error{
		e.Checkpoint(ctx, filepath.Join(t.TempDir(), "copy")), e.ForgetCheckpoint(state.CheckpointID{}), e.MoveCheckpoint(state.CheckpointID{}, "copy"), e.Flush(ctx), e.RotateDataKeys(),
		e.RotateMasterKey(ctx, masterKey), e.RetireDataKey(1, nil), e.SetHorizon("h", state.Position{}), e.RemoveHorizon("h"),
	} {
		require.ErrorIs(t, err, state.ErrReadOnly)
	}
}
