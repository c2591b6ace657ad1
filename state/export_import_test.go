package state_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/access/audit"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/privacy"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/loamdb/loam/state/envelope"
	"github.com/loamdb/loam/state/index"
	"github.com/loamdb/loam/state/scopefile"
	"github.com/stretchr/testify/require"
)

// exported returns the file of a scope.
func exported(t *testing.T, sc *state.Scope) string {
	t.Helper()
	var out bytes.Buffer
	n, err := sc.Export(ctx, &out, state.ExportOptions{})
	require.NoError(t, err)
	require.Equal(t, int(n)+2, strings.Count(out.String(), "\n"))
	return out.String()
}

// imported takes a file into a scope, and returns how many entries that are.
func imported(t *testing.T, sc *state.Scope, file string, existing state.Existing) state.Imported {
	t.Helper()
	done, err := sc.Import(ctx, strings.NewReader(file), state.ImportOptions{Existing: existing})
	require.NoError(t, err)
	return done
}

// entriesOf returns what a scope lists, without what is a store's own.
func entriesOf(t *testing.T, sc *state.Scope) []state.Entry {
	t.Helper()
	var out []state.Entry
	for e, err := range sc.All(ctx, "") {
		require.NoError(t, err)
		e.Version = 0
		out = append(out, e)
	}
	return out
}

// requireNothingLeft fails if imports have left anything.
func requireNothingLeft(t *testing.T, s *state.Store) {
	t.Helper()
	left, err := state.Staged(s)
	require.NoError(t, err)
	require.Zero(t, left)
}

// B1, B13: types, classes, times, expiries and correlations go through a file, and so do collections,
// whose indexes then agree with the documents.
func TestAnExportedScopeIsImportedAsItWas(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetMany(ctx, values))
		require.NoError(t, sc.Set(ctx, "trusted", 1, state.WithClass(state.Trusted), state.WithCorrelation("run 7")))
		require.NoError(t, sc.SetWithTTL(ctx, "later", "x", time.Hour, state.WithClass(state.External)))
		require.NoError(t, sc.IncrementBlind(ctx, "blind", 5))
		require.NoError(t, sc.Set(ctx, "gone", 1, ephemeral))
		_, err := sc.Increment(ctx, "int", 1)
		require.NoError(t, err)
		c := people(t, sc, byMail, byTeam)
		for i := range 300 { // more than goes into a commit
			require.NoError(t, c.Set(ctx, fmt.Sprint(i), person{Mail: fmt.Sprint(i), Team: fmt.Sprint(i % 3), Age: i}, state.NoSync))
		}
		file := exported(t, sc)
		require.Equal(t, file, exported(t, sc), "a scope has one file")
		_, err = sc.Delete(ctx, "gone")
		require.NoError(t, err)
		want := entriesOf(t, sc)

		to, err := state.OpenMemory(nil)
		require.NoError(t, err)
		defer func() { require.NoError(t, to.Close()) }()
		for _, in := range []*state.Scope{to.Scope(scope.User("u")), f.Scope(scope.User("u"))} {
			done := imported(t, in, file, state.ExistingFail)
			require.Equal(t, state.Imported{Entries: int64(300 + len(want))}, done)
			require.Equal(t, want, entriesOf(t, in))
			requireNothingLeft(t, f.Store)
			got := people(t, in, byMail, byTeam)
			requireAgreement(t, in, got)
			p, err := got.Get(ctx, "299")
			require.NoError(t, err)
			require.Equal(t, person{Mail: "299", Team: "2", Age: 299}, p)
			require.ErrorIs(t, got.Set(ctx, "new", person{Mail: "5"}), state.ErrUnique)
			lines, again := strings.Split(file, "\n"), strings.Split(exported(t, in), "\n")
			require.Equal(t, lines[1:len(lines)-2], again[1:len(again)-2], "but for the header's scope, and so the trailer")
		}
		if f.dir != "" {
			f.reopen()
			require.Equal(t, want, entriesOf(t, f.Scope(scope.User("u"))))
			requireAgreement(t, f.Scope(scope.User("u")), people(t, f.Scope(scope.User("u")), byMail, byTeam))
		}
	})
}

// An export is of one moment, that of a snapshot too, and says when there is nothing.
func TestAnExportIsOfOneMoment(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		_, err := sc.Export(ctx, &bytes.Buffer{}, state.ExportOptions{})
		require.ErrorIs(t, err, state.ErrNotFound)
		require.NoError(t, sc.SetMany(ctx, map[string]any{"a": 1, "b": 1}))
		before := exported(t, sc)
		snap, err := f.Snapshot()
		require.NoError(t, err)
		w := writes(func() { require.NoError(t, sc.SetMany(ctx, map[string]any{"b": 2, "c": 2})) })
		_, err = sc.Export(ctx, &w, state.ExportOptions{})
		require.NoError(t, err)
		require.Equal(t, before, w.String())
		require.Equal(t, before, exported(t, snap.Scope(agent)))
		require.NotEqual(t, before, exported(t, sc))
		_, err = snap.Scope(agent).Import(ctx, strings.NewReader(before), state.ImportOptions{})
		require.ErrorIs(t, err, state.ErrReadOnly)
		require.NoError(t, snap.Close())
		require.ErrorIs(t, f.Transact(ctx, func(tx *state.Txn) error {
			_, err := tx.Scope(agent).Export(ctx, &bytes.Buffer{}, state.ExportOptions{})
			require.ErrorIs(t, err, state.ErrUnsupported)
			_, err = tx.Scope(agent).Import(ctx, strings.NewReader(before), state.ImportOptions{})
			return err
		}), state.ErrUnsupported)

		_, err = sc.DeleteMany(ctx, []string{"a", "b", "c"})
		require.NoError(t, err)
		require.Equal(t, state.Imported{}, imported(t, f.Scope(other), exported(t, sc), state.ExistingFail), "there is one, without values")
		broken := errors.New("broken")
		_, err = sc.Export(ctx, failingWriter{broken}, state.ExportOptions{})
		require.ErrorIs(t, err, broken)
		ended, cancel := context.WithCancel(ctx)
		cancel()
		_, err = sc.Export(ended, &bytes.Buffer{}, state.ExportOptions{})
		require.ErrorIs(t, err, context.Canceled)
		_, err = sc.Import(ended, strings.NewReader(before), state.ImportOptions{})
		require.ErrorIs(t, err, context.Canceled)
	})
}

// writes is a writer that does something else before it takes anything.
type writer struct {
	bytes.Buffer
	first func()
}

func writes(first func()) writer { return writer{first: first} }

func (w *writer) Write(p []byte) (int, error) {
	if w.first != nil {
		w.first()
		w.first = nil
	}
	return w.Buffer.Write(p)
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// What the scope has is kept, left or replaced as asked for, and all of it or nothing is done.
func TestImportsMeetWhatIsThere(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		from, sc := f.Scope(other), f.Scope(agent)
		require.NoError(t, from.SetMany(ctx, map[string]any{"a": "new", "b": "new", "e": "new", "n": "new"}))
		docs := people(t, from)
		require.NoError(t, docs.Set(ctx, "1", person{Mail: "new", Team: "t"}))
		require.NoError(t, docs.Set(ctx, "2", person{Mail: "free", Team: "t"}))
		file := exported(t, from)
		prepare := func() *state.Collection[person] {
			require.NoError(t, sc.Drop(ctx))
			require.NoError(t, sc.SetMany(ctx, map[string]any{"a": "old", "n": 1}))
			require.NoError(t, sc.Set(ctx, "e", "old", ephemeral))
			require.NoError(t, sc.IncrementBlind(ctx, "n", 1))
			c := people(t, sc, byMail, byTeam)
			require.NoError(t, c.Set(ctx, "1", person{Mail: "old", Team: "t"}))
			return c
		}
		all := func() string {
			got, err := sc.GetMany(ctx, "a", "b", "e", "n")
			require.NoError(t, err)
			return fmt.Sprint(got)
		}

		c := prepare()
		_, err := sc.Import(ctx, strings.NewReader(file), state.ImportOptions{})
		require.ErrorIs(t, err, state.ErrConflict)
		require.EqualError(t, err, `import agent:a1 "people/1": state: conflict with another write`)
		require.Equal(t, "map[a:old e:old n:2]", all())
		requireNothingLeft(t, f.Store)
		requireAgreement(t, sc, c)

		require.Equal(t, state.Imported{Entries: 2, Skipped: 4}, imported(t, sc, file, state.ExistingSkip))
		require.Equal(t, "map[a:old b:new e:old n:2]", all())
		p, err := c.Get(ctx, "1")
		require.NoError(t, err)
		require.Equal(t, "old", p.Mail)
		requireAgreement(t, sc, people(t, sc, byMail, byTeam))

		c = prepare()
		require.Equal(t, state.Imported{Entries: 6}, imported(t, sc, file, state.ExistingReplace))
		require.Equal(t, "map[a:new b:new e:new n:new]", all())
		p, err = c.Get(ctx, "1") // a handle that knew the indexes
		require.NoError(t, err)
		require.Equal(t, "new", p.Mail)
		require.NoError(t, c.Set(ctx, "3", person{Mail: "other", Team: "t"}))
		requireAgreement(t, sc, people(t, sc, byMail, byTeam))

		require.NoError(t, sc.Drop(ctx))
		require.NoError(t, sc.Set(ctx, "e", "old", ephemeral), "there are values, and no scope")
		require.Equal(t, state.Imported{Entries: 5, Skipped: 1}, imported(t, sc, file, state.ExistingSkip))
		require.Equal(t, "map[a:new b:new e:old n:new]", all())
		requireNothingLeft(t, f.Store)
		for _, o := range []state.ImportOptions{{Existing: 3}, {MaxEntries: -1}} {
			_, err = sc.Import(ctx, strings.NewReader(file), o)
			require.ErrorIs(t, err, state.ErrOption)
		}
	})
}

// B16, B22: what is wrong with a file is told with its line, and leaves nothing behind.
func TestABadFileChangesNothing(t *testing.T) {
	o := &state.Options{MaxValueBytes: 1 << 10, MaxDepth: 4, ScopeClasses: []state.ScopeClass{{Scopes: "user:*", Class: state.External}}}
	everywhere(t, o, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetMany(ctx, map[string]any{"a": 1, "b": 2}))
		held := entriesOf(t, sc)
		long := strings.Repeat("x", 1000)
		for name, c := range map[string]struct {
			entries []scopefile.Entry
			in      scope.Scope
			want    error
		}{
			"key":        {[]scopefile.Entry{{Key: "c", Value: "x"}, {Key: "d//e"}}, agent, state.ErrKey},
			"document":   {[]scopefile.Entry{{Collection: "c", Key: "..", Value: "x"}, {Key: "x"}}, agent, state.ErrKey},
			"no key":     {[]scopefile.Entry{{Collection: "c", Value: "x"}}, agent, state.ErrKey},
			"collection": {[]scopefile.Entry{{Collection: "c/d", Key: "1"}}, agent, index.ErrDef},
			"class":      {[]scopefile.Entry{{Key: "c", Class: state.Ephemeral}}, agent, state.ErrUnsupported},
			"large":      {[]scopefile.Entry{{Key: "c", Value: long + long}}, agent, state.ErrTooLarge},
			"strict":     {[]scopefile.Entry{{Key: "c", Value: long}}, scope.User("u"), state.ErrTooLarge},
			"deep":       {[]scopefile.Entry{{Key: "c", Value: []any{[]any{[]any{[]any{[]any{}}}}}}}, agent, state.ErrTooDeep},
		} {
			err := importEntries(f.Scope(c.in), c.entries)
			require.ErrorIs(t, err, c.want, name)
			var outer *state.Error
			require.ErrorAs(t, err, &outer, name)
			require.Equal(t, c.in, outer.Scope)
			require.Equal(t, "import", outer.Op)
			var where *scopefile.LineError
			require.ErrorAs(t, err, &where, name)
			require.Equal(t, held, entriesOf(t, sc), name)
			requireNothingLeft(t, f.Store)
		}

		many := make([]scopefile.Entry, 0, 600)
		for i := range 600 {
			many = append(many, scopefile.Entry{Key: fmt.Sprintf("c%03d", i), Value: int64(i)})
		}
		file := fileOf(many)
		_, err := sc.Import(ctx, strings.NewReader(file), state.ImportOptions{MaxEntries: 599})
		require.ErrorIs(t, err, state.ErrTooLarge)
		for n, c := range []struct {
			file string
			want error
		}{
			{file[:len(file)/2], state.ErrTruncated},
			{strings.Replace(file, `"c300"`, `"c300x"`, 1), state.ErrChecksum},
			{strings.Replace(file, `"c300"`, `"c100"`, 1), state.ErrFormat},
			{strings.Replace(file, `"version":1`, `"version":2`, 1), state.ErrTooNew},
			{"no file", state.ErrFormat},
			{"", state.ErrTruncated},
		} {
			_, err := sc.Import(ctx, strings.NewReader(c.file), state.ImportOptions{Existing: state.ExistingReplace})
			require.ErrorIs(t, err, c.want, n)
			require.Equal(t, held, entriesOf(t, sc))
			requireNothingLeft(t, f.Store)
		}
		require.Equal(t, state.Imported{Entries: 600}, imported(t, sc, file, state.ExistingFail))
	})
}

// fileOf returns the file of entries.
func fileOf(entries []scopefile.Entry) string { return fileWith(scopefile.Retention{}, entries) }

// fileWith returns the file of entries and a rule.
func fileWith(r scopefile.Retention, entries []scopefile.Entry) string {
	var out bytes.Buffer
	w, err := scopefile.NewWriter(&out, scopefile.Header{Scope: scope.Global(), Retention: r})
	for i := range entries {
		err = errors.Join(err, w.Write(&entries[i]))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return out.String()
}

func importEntries(sc *state.Scope, entries []scopefile.Entry) error {
	_, err := sc.Import(ctx, strings.NewReader(fileOf(entries)), state.ImportOptions{})
	return err
}

// B17: a value whose time is over is not imported, and takes nothing away.
func TestWhatHasExpiredIsNotImported(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "k", "kept"))
		file := fileOf([]scopefile.Entry{{Key: "k", Value: "x", Expires: 1}, {Key: "l", Value: nil, Created: 5, Updated: 9}})
		require.Equal(t, state.Imported{Entries: 1, Expired: 1}, imported(t, sc, file, state.ExistingReplace))
		v, meta, err := sc.GetWithMeta(ctx, "l")
		require.NoError(t, err)
		require.Nil(t, v)
		require.Equal(t, state.Standard, meta.Class)
		require.Equal(t, int64(5), meta.Created.UnixMilli())
		require.Equal(t, int64(9), meta.Updated.UnixMilli())
		v, err = sc.Get(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, "kept", v)
	})
}

// B31, B32: an export and an import run one hook before and one after, and are one event; a veto comes
// before anything is written or read.
func TestExportsAndImportsAreOneEvent(t *testing.T) {
	everywhere(t, &state.Options{Timeline: &state.TimelineOptions{}}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetMany(ctx, map[string]any{"a": 1, "b": 2}))
		var before, after []string
		veto := ""
		require.NoError(t, f.Hooks().Register(hook.Hook{
			Name: "before", Points: []hook.Point{hook.BeforeExport, hook.BeforeImport, hook.BeforeSet},
			Before: func(_ context.Context, c *hook.Change) error {
				if before = append(before, fmt.Sprint(c.Op, " ", c.Scope, c.Key)); veto != "" {
					return hook.Veto(veto)
				}
				return nil
			},
		}))
		require.NoError(t, f.Hooks().Register(hook.Hook{
			Name: "after", Points: []hook.Point{hook.AfterExport, hook.AfterImport, hook.AfterSet}, Inline: true,
			After: func(_ context.Context, ev hook.Event) error {
				after = append(after, fmt.Sprint(ev.Op, " ", ev.Scope, ev.Key))
				return nil
			},
		}))
		file := exported(t, sc)
		imported(t, f.Scope(other), file, state.ExistingFail)
		imported(t, f.Scope(other), file, state.ExistingReplace)
		want := []string{"export agent:a1", "import custom:other", "import custom:other"}
		require.Equal(t, want, before)
		require.Equal(t, want, after)
		var told []string
		for _, ev := range recorded(t, f.Store) {
			if ev.Op == hook.OpExport || ev.Op == hook.OpImport {
				told = append(told, fmt.Sprint(ev.Op, " ", ev.Scope))
			}
		}
		require.Equal(t, want, told)

		veto = "closed"
		var denied *hook.VetoError
		var out bytes.Buffer
		_, err := sc.Export(ctx, &out, state.ExportOptions{})
		require.ErrorAs(t, err, &denied)
		require.Empty(t, out.Bytes())
		unread := strings.NewReader(file)
		_, err = f.Scope(scope.Global()).Import(ctx, unread, state.ImportOptions{})
		require.ErrorAs(t, err, &denied)
		require.Equal(t, len(file), unread.Len())
		require.Len(t, after, 3)
	})
}

// B63: an export needs reading and listing of the whole scope, an import reading and writing; a narrower
// rule that denies is in the way.
func TestExportsAndImportsAreAskedForOnTheWholeScope(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		root := f.As("root").Scope(agent)
		require.NoError(t, root.SetMany(ctx, map[string]any{"a": 1, "private": 2}))
		file := exported(t, root)
		grant(t, f.Store, "alice", access.Allow, access.Read|access.List|access.Write, "agent:*", "*")
		alice := f.As("alice").Scope(agent)
		require.Equal(t, file, exported(t, alice))
		imported(t, alice, file, state.ExistingReplace)
		grant(t, f.Store, "alice", access.Deny, access.Read, "agent:a1", "private")
		var out bytes.Buffer
		_, err := alice.Export(ctx, &out, state.ExportOptions{})
		requireDenied(t, err)
		require.Empty(t, out.Bytes())
		snap, err := f.As("alice").Snapshot()
		require.NoError(t, err)
		_, err = snap.Scope(agent).Export(ctx, &out, state.ExportOptions{})
		requireDenied(t, err)
		require.NoError(t, snap.Close())
		_, err = alice.Import(ctx, strings.NewReader(file), state.ImportOptions{})
		requireDenied(t, err)
		var ops []access.Op
		for _, r := range records(t, f.Store, audit.Query{Verdict: audit.OnlyDenied, Principal: "alice"}) {
			ops = append(ops, r.Op)
		}
		require.Equal(t, []access.Op{access.OpExport, access.OpExport, access.OpImport}, ops)
	})
}

// A value of class Sensitive leaves the store when it is asked for only, and that is recorded.
func TestSensitiveValuesAreExportedIfAskedFor(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		root := f.As("root").Scope(agent)
		require.NoError(t, root.Set(ctx, "a", 1))
		p, err := envelope.Append(nil, &envelope.Header{Class: state.Sensitive, Codec: envelope.MessagePack})
		require.NoError(t, err)
		require.NoError(t, root.Behind().PutRaw("k", append(p, 0xa1, 'x')))
		_, err = root.Export(ctx, &bytes.Buffer{}, state.ExportOptions{})
		require.ErrorIs(t, err, state.ErrSensitive)
		require.ErrorContains(t, err, `export agent:a1 "k": `)
		require.Empty(t, records(t, f.Store, audit.Query{Scope: agent}))
		var out bytes.Buffer
		n, err := root.Export(ctx, &out, state.ExportOptions{Sensitive: true})
		require.NoError(t, err)
		require.Equal(t, int64(2), n)
		require.Contains(t, out.String(), `{"class":"sensitive","key":"k","value":"x"}`)
		seen := records(t, f.Store, audit.Query{Scope: agent})
		require.Len(t, seen, 1)
		require.Equal(t, access.OpExport, seen[0].Op)
		require.True(t, seen[0].Sensitive)
	})
}

// B64: what comes in by a file is protected as what is set.
func TestImportedValuesAreProtected(t *testing.T) {
	o := &state.Options{Privacy: []state.Privacy{{Scopes: "**", Policy: privacy.Policy{Default: privacy.Redact}}}}
	everywhere(t, o, func(t *testing.T, f *fixture) {
		require.NoError(t, importEntries(f.Scope(agent), []scopefile.Entry{{Key: "k", Value: "write to ann@example.com"}}))
		v, err := f.Scope(agent).Get(ctx, "k")
		require.NoError(t, err)
		require.NotContains(t, v, "ann@")
		before := exported(t, f.Scope(agent))
		imported(t, f.Scope(other), before, state.ExistingFail)
		again, err := f.Scope(other).Get(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, v, again, "what is protected stays as it is")
	})
}

// Beside writers of the same keys and documents an import takes all or what is not there, nothing of
// theirs is lost, and indexes agree with documents.
func TestImportsBesideWriters(t *testing.T) {
	const keys = 60
	var entries []scopefile.Entry
	for i := range keys {
		entries = append(entries, scopefile.Entry{Collection: "people", Key: fmt.Sprintf("d%02d", i), Value: map[string]any{"team": "file", "age": int64(i)}})
	}
	for i := range keys {
		entries = append(entries, scopefile.Entry{Key: fmt.Sprintf("k%02d", i), Value: "file"})
	}
	file := fileOf(entries)
	everywhere(t, &state.Options{NoSync: true}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		c := people(t, sc, byTeam)
		require.NoError(t, c.Set(ctx, "first", person{Team: "writer"}))
		var done state.Imported
		wrote := make([]bool, keys)
		together(5, func(w int) {
			if w == 4 {
				done = imported(t, sc, file, state.ExistingSkip)
				return
			}
			for i := w; i < keys; i += 4 {
				var err error
				if wrote[i], err = sc.SetIfAbsent(ctx, fmt.Sprintf("k%02d", i), "writer"); err != nil {
					t.Error(err)
				}
				if _, err = c.Update(ctx, fmt.Sprintf("d%02d", i), func(p person, found bool) (person, error) {
					p.Age += 1000
					return p, nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
		require.Equal(t, int64(2*keys), done.Entries+done.Skipped)
		skipped := int64(0)
		for i := range keys {
			v, err := sc.Get(ctx, fmt.Sprintf("k%02d", i))
			require.NoError(t, err)
			require.Equal(t, map[bool]any{true: "writer", false: "file"}[wrote[i]], v)
			if wrote[i] {
				skipped++
			}
			p, err := c.Get(ctx, fmt.Sprintf("d%02d", i))
			require.NoError(t, err)
			want := 1000
			if p.Team == "file" {
				want += i
			} else {
				skipped++
			}
			require.Equal(t, want, p.Age, "no update is lost")
		}
		require.Equal(t, done.Skipped, skipped)
		requireAgreement(t, sc, people(t, sc, byTeam))
	})
}

// importRule takes a file into a scope, with its rule of retention.
func importRule(sc *state.Scope, file string, existing state.Existing) (state.Imported, error) {
	return sc.Import(ctx, strings.NewReader(file), state.ImportOptions{Existing: existing, Retention: true})
}

// A scope that was exported lost its rule, and nobody was told. It is in the file, and applied if that is asked for.
func TestARuleGoesThroughAFileIfThatIsAskedFor(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		rule, own := state.Retention{MaxAge: 24 * time.Hour, MaxEntries: 5, MaxBytes: 1 << 30}, state.Retention{MaxEntries: 100}
		sc := f.Scope(agent)
		require.NoError(t, sc.SetRetention(ctx, rule))
		empty := exported(t, sc)
		require.NoError(t, sc.SetMany(ctx, map[string]any{"a": 1, "b": 2}))
		file := exported(t, sc)
		retention := func(name scope.Scope) state.Retention {
			r, err := f.Scope(name).Retention(ctx)
			require.NoError(t, err)
			return r
		}
		plain, ruled, there, alone := scope.Agent("plain"), scope.Agent("ruled"), scope.Agent("there"), scope.Agent("alone")
		require.Equal(t, state.Imported{Entries: 2, Retention: rule}, imported(t, f.Scope(plain), file, state.ExistingFail))
		require.Zero(t, retention(plain))
		done, err := importRule(f.Scope(ruled), file, state.ExistingFail)
		require.NoError(t, err)
		require.Equal(t, state.Imported{Entries: 2, Retention: rule}, done)
		require.Equal(t, rule, retention(ruled))

		require.NoError(t, f.Scope(there).Set(ctx, "a", 1))
		require.NoError(t, f.Scope(there).SetRetention(ctx, own))
		_, err = importRule(f.Scope(there), file, state.ExistingFail)
		require.ErrorIs(t, err, state.ErrConflict)
		imported(t, f.Scope(there), file, state.ExistingSkip)
		require.Equal(t, own, retention(there))
		_, err = importRule(f.Scope(there), exported(t, f.Scope(plain)), state.ExistingSkip)
		require.NoError(t, err)
		require.Equal(t, own, retention(there), "the file has none")
		_, err = importRule(f.Scope(there), file, state.ExistingSkip)
		require.NoError(t, err)
		require.Equal(t, rule, retention(there))
		_, err = importRule(f.Scope(alone), empty, state.ExistingFail)
		require.NoError(t, err)
		require.Equal(t, rule, retention(alone))
		require.Equal(t, strings.Split(empty, "\n")[0], strings.Replace(strings.Split(exported(t, f.Scope(alone)), "\n")[0], "alone", "a1", 1))

		f.reopenOnDisk()
		for _, name := range []scope.Scope{ruled, there, alone} { // it is carried out
			require.NoError(t, writeKeys(ctx, f.Scope(name), "k", 20))
			settled(t, func() bool { return len(heldKeys(t, f.Scope(name))) == 5 })
		}
		require.NoError(t, writeKeys(ctx, f.Scope(plain), "k", 20))
		require.Len(t, heldKeys(t, f.Scope(plain)), 22)
		listed, err := f.ListedForRetention()
		require.NoError(t, err)
		require.ElementsMatch(t, []string{agent.String(), ruled.String(), there.String(), alone.String()}, listed)
	})
}

// Rules are for admins of the scope who may delete all of it, by way of a file too. Admin alone was enough: who was
// denied delete could have everything deleted by a rule.
func TestRulesInFilesAreForAdmins(t *testing.T) {
	everywhere(t, controlled(), func(t *testing.T, f *fixture) {
		root := f.As("root").Scope(agent)
		require.NoError(t, root.Set(ctx, "a", 1))
		require.NoError(t, root.SetRetention(ctx, state.Retention{MaxEntries: 5}))
		grant(t, f.Store, "alice", access.Allow, access.Read|access.List|access.Write, "agent:*", "*")
		alice := f.As("alice")
		file := exported(t, root)
		require.Contains(t, file, `"retention":{"max_entries":5}`)
		require.NotContains(t, exported(t, alice.Scope(agent)), "retention")
		_, err := importRule(alice.Scope(scope.Agent("b")), file, state.ExistingFail)
		requireDenied(t, err)
		imported(t, alice.Scope(scope.Agent("b")), file, state.ExistingFail)
		grant(t, f.Store, "alice", access.Allow, access.Admin, "agent:*", "*")
		require.Equal(t, file, exported(t, alice.Scope(agent)))
		_, err = importRule(alice.Scope(scope.Agent("c")), file, state.ExistingFail)
		requireDenied(t, err)
		requireDenied(t, alice.Scope(agent).SetRetention(ctx, state.Retention{MaxAge: time.Nanosecond}))
		grant(t, f.Store, "alice", access.Allow, access.Delete, "agent:*", "*")
		grant(t, f.Store, "alice", access.Deny, access.Delete, "agent:d", "a")
		requireDenied(t, alice.Scope(scope.Agent("d")).SetRetention(ctx, state.Retention{MaxAge: time.Nanosecond}))
		require.NoError(t, alice.Scope(scope.Agent("d")).SetRetention(ctx, state.Retention{}))
		_, err = importRule(alice.Scope(scope.Agent("c")), file, state.ExistingFail)
		require.NoError(t, err)
	})
}
