package engine

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/cmd/lsmbench/internal/document"
	"github.com/loamdb/loam/scope"
)

// Every store of documents does the same, whatever it is made of.

func eachDocuments(t *testing.T, encrypted bool, test func(t *testing.T, store Store)) {
	for _, e := range AllDocuments() {
		t.Run(e.Name(), func(t *testing.T) {
			t.Parallel()
			c := small("none")
			c.Conflicts, c.Encrypted = true, encrypted && Encrypts(e)
			store, err := e.Open(t.TempDir(), c)
			require.NoError(t, err)
			test(t, store)
			_, err = store.Settle(t.Context())
			require.NoError(t, err)
			require.NoError(t, store.Close())
		})
	}
}

func newDocuments(t *testing.T, store Store) (d Documents, end func()) {
	s, err := store.NewSession()
	require.NoError(t, err)
	return s.(Documents), func() { require.NoError(t, s.Close()) }
}

// wantDocument reads a document; nil stands for none.
func wantDocument(t *testing.T, s DocumentScope, key string, want any) {
	t.Helper()
	got, found, err := s.Get(key)
	require.NoError(t, err)
	require.Equal(t, want != nil, found, key)
	require.True(t, document.Equal(want, got), "%s is %v", key, got)
}

func TestDocumentsAreSetReadAndListed(t *testing.T) {
	eachDocuments(t, false, func(t *testing.T, store Store) {
		docs, end := newDocuments(t, store)
		defer end()
		a, b := docs.In("a"), docs.In("b")
		doc := document.New(rand.New(rand.NewPCG(1, 1)), "doc/1", 700)
		var typed document.Document
		found, err := a.GetTyped("doc/1", &typed)
		require.NoError(t, err)
		require.False(t, found)
		for _, sync := range []bool{false, true} {
			require.NoError(t, a.Set("doc/1", doc.Map(), sync))
			require.NoError(t, a.Set("doc/2", doc, sync))
			for _, key := range []string{"doc/1", "doc/2"} {
				wantDocument(t, a, key, doc.Map())
				found, err = a.GetTyped(key, &typed)
				require.NoError(t, err)
				require.True(t, found)
				require.Equal(t, *doc, typed)
			}
		}
		wantDocument(t, b, "doc/1", nil)
		require.NoError(t, a.SetMany(map[string]any{"doc/3": doc.Map(), "doc0": "behind", "do": "before", "doc/0": doc}))
		require.NoError(t, b.SetMany(map[string]any{"doc/9": "of another scope"}))
		for n, want := range map[int][]string{10: {"doc/0", "doc/1", "doc/2", "doc/3"}, 2: {"doc/0", "doc/1"}} {
			var keys []string
			count, err := a.List("doc/", n, func(key string, v any) error {
				keys = append(keys, key)
				require.True(t, document.Equal(doc.Map(), v), key)
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, want, keys)
			require.Len(t, want, count)
		}
		_, err = a.List("doc/", 10, func(string, any) error { return errNoDocument })
		require.ErrorIs(t, err, errNoDocument)
	})
}

// Those are encrypted whose engines can.
func TestDocumentsAreChanged(t *testing.T) {
	eachDocuments(t, true, func(t *testing.T, store Store) {
		docs, end := newDocuments(t, store)
		defer end()
		s := docs.In("a")
		for i, sync := range []bool{false, true} {
			require.NoError(t, s.Set("doc", map[string]any{"a": int64(1), "b": map[string]any{"c": "x", "d": "y"}, "e": true}, sync))
			require.NoError(t, s.Patch("doc", map[string]any{"a": int64(2), "e": nil, "b": map[string]any{"c": "z"}, "n": map[string]any{"m": int64(3)}}, sync))
			patched := map[string]any{"a": int64(2), "b": map[string]any{"c": "z", "d": "y"}, "n": map[string]any{"m": int64(3)}}
			wantDocument(t, s, "doc", patched)

			list := fmt.Sprintf("list-%d", i)
			require.NoError(t, s.Append(list, "one", sync))
			require.NoError(t, s.Append(list, map[string]any{"n": int64(2)}, sync))
			wantDocument(t, s, list, []any{"one", map[string]any{"n": int64(2)}})

			sum, err := s.Increment("n", 5, sync)
			require.NoError(t, err)
			require.EqualValues(t, 5+i*4, sum)
			sum, err = s.Increment("n", -1, sync)
			require.NoError(t, err)
			require.EqualValues(t, 4+i*4, sum)
			require.NoError(t, docs.Move("a", "b", "n", 3, sync))
			require.NoError(t, docs.Move("b", "a", "n", 3, sync))
			wantDocument(t, s, "n", int64(4+i*4))
			wantDocument(t, docs.In("b"), "n", int64(0))

			done, err := s.Replace("doc", func(doc map[string]any) error {
				doc["a"] = int64(7)
				return nil
			}, sync)
			require.NoError(t, err)
			require.True(t, done)
			patched["a"] = int64(7)
			wantDocument(t, s, "doc", patched)
			done, err = s.Replace("doc", func(doc map[string]any) error {
				doc["a"] = int64(9)
				other, end := newDocuments(t, store)
				defer end()
				return other.In("a").Set("doc", map[string]any{"a": int64(8)}, sync)
			}, sync)
			require.NoError(t, err)
			require.False(t, done, "somebody else has written it")
			wantDocument(t, s, "doc", map[string]any{"a": int64(8)})
			_, err = s.Replace("absent", func(map[string]any) error { return nil }, sync)
			require.Error(t, err)
		}
	})
}

// What reads and writes is one operation, also where several goroutines do it.
func TestChangesOfDocumentsAreAtomic(t *testing.T) {
	eachDocuments(t, false, func(t *testing.T, store Store) {
		const goroutines, each = 4, 25
		var wg sync.WaitGroup
		for g := range goroutines {
			docs, end := newDocuments(t, store)
			defer end()
			s := docs.In("a")
			wg.Go(func() {
				for range each {
					_, err := s.Increment("n", 1, g == 0)
					if err == nil {
						err = s.Append("list", int64(g), false)
					}
					if err == nil {
						err = docs.Move("from", "to", "points", 2, false)
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		docs, end := newDocuments(t, store)
		defer end()
		wantDocument(t, docs.In("a"), "n", int64(goroutines*each))
		wantDocument(t, docs.In("from"), "points", int64(-2*goroutines*each))
		wantDocument(t, docs.In("to"), "points", int64(2*goroutines*each))
		list, _, err := docs.In("a").Get("list")
		require.NoError(t, err)
		require.Len(t, list, goroutines*each)
	})
}

func TestLoamsClassesAndItsMemory(t *testing.T) {
	store, err := loamState{}.OpenMemory(small("none"))
	require.NoError(t, err)
	docs, end := newDocuments(t, store)
	classes := docs.(Classes)
	require.Equal(t, []string{"standard", "trusted", "external", "ephemeral"}, classes.Classes())
	for _, c := range classes.Classes() {
		require.NoError(t, classes.InClass(c, "a").Set(c, "value", false))
		wantDocument(t, docs.In("a"), c, "value")
		_, meta, err := store.(*loamStateStore).Scope(scope.Agent("a")).GetWithMeta(background, c)
		require.NoError(t, err)
		require.Equal(t, c, meta.Class.String())
	}
	require.Nil(t, classes.InClass("secret", "a"))
	end()
	require.NoError(t, store.Close())
}

func TestLoamsHooksAreOfOneScope(t *testing.T) {
	store, err := loamState{}.OpenMemory(small("none"))
	require.NoError(t, err)
	docs, end := newDocuments(t, store)
	hooks := docs.(Hooks)
	require.NoError(t, hooks.Hook("a"))
	for range 3 {
		require.NoError(t, docs.In("a").Set("k", "value", false))
		require.NoError(t, docs.In("b").Set("k", "value", false))
	}
	before, after, err := hooks.HookCalls()
	require.NoError(t, err)
	require.Equal(t, []uint64{3, 3}, []uint64{before, after})
	require.Error(t, hooks.Hook("b"), "the names are taken")
	end()
	require.NoError(t, store.Close())
	_, _, err = hooks.HookCalls()
	require.NoError(t, err)
}

// In the store for classes a hook meets what is of class Standard, and personal data is found.
func TestLoamsStoreForClassesLooksAtValues(t *testing.T) {
	store, err := loamState{}.OpenClasses(t.TempDir(), small("none"))
	require.NoError(t, err)
	docs, end := newDocuments(t, store)
	for _, c := range docs.(Classes).Classes() {
		require.NoError(t, docs.(Classes).InClass(c, "a").Set(c, map[string]any{"mail": "ada@example.org"}, false))
	}
	before, _, err := docs.(Hooks).HookCalls()
	require.NoError(t, err)
	require.EqualValues(t, 2, before, "of classes Standard and External")
	require.EqualValues(t, 2, store.(*loamStateStore).Metrics().Findings)
	end()
	require.NoError(t, store.Close())
}

func TestStoresOfDocumentsByName(t *testing.T) {
	e, err := FindDocuments("bbolt-msgpack")
	require.NoError(t, err)
	require.Equal(t, "bbolt-msgpack", e.Name())
	require.Contains(t, e.Settings(small("none")), "vmihailenco/msgpack")
	_, err = FindDocuments("bbolt-yaml")
	require.ErrorContains(t, err, `"bbolt-yaml" is unknown; there are loam, `)
	_, err = ChooseDocuments("loam,bbolt-json,loam")
	require.ErrorContains(t, err, "named twice")
	all, err := ChooseDocuments("all")
	require.NoError(t, err)
	require.Equal(t, AllDocuments(), all)
	require.True(t, Encrypts(all[0]))
	require.False(t, Encrypts(e))
	if _, err := Find("sqlite"); err != nil {
		_, err = FindDocuments("sqlite-json")
		require.ErrorContains(t, err, "build with -tags peers")
	}
}
