package state_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// together runs n goroutines and waits for them.
func together(n int, work func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { work(i) })
	}
	wg.Wait()
}

// B14.
func TestTenWritersOfTheirOwnKeys(t *testing.T) {
	everywhere(t, &state.Options{NoSync: true}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		together(10, func(i int) {
			for n := range 10 {
				if err := sc.Set(ctx, fmt.Sprintf("k%d", i), n); err != nil {
					t.Error(err)
				}
			}
		})
		for i := range 10 {
			v, err := state.Get[int](ctx, sc, fmt.Sprintf("k%d", i))
			require.NoError(t, err)
			require.Equal(t, 9, v)
		}
	})
}

// B15: by every way of changing a value that depends on what it was; by ten writers, and by 16.
func TestWritersOfOneCounter(t *testing.T) {
	ways := map[string]func(sc *state.Scope, store *state.Store) error{
		"increment": func(sc *state.Scope, _ *state.Store) error {
			_, err := sc.Increment(ctx, "n", 1)
			return err
		},
		"compare and set": func(sc *state.Scope, _ *state.Store) error {
			for {
				var n int64
				v, meta, err := sc.GetWithMeta(ctx, "n")
				if err == nil {
					n = v.(int64)
				} else if !errors.Is(err, state.ErrNotFound) {
					return err
				}
				if _, err = sc.CompareAndSet(ctx, "n", meta.Version, n+1); !errors.Is(err, state.ErrConflict) {
					return err
				}
			}
		},
		"update": func(sc *state.Scope, _ *state.Store) error {
			_, err := state.Update(ctx, sc, "n", func(n int, _ bool) (int, error) { return n + 1, nil })
			return err
		},
		"transaction": func(_ *state.Scope, store *state.Store) error {
			return store.Transact(ctx, func(tx *state.Txn) error {
				_, err := tx.Scope(agent).Increment(ctx, "n", 1)
				return err
			})
		},
	}
	for name, increment := range ways {
		t.Run(name, func(t *testing.T) {
			everywhere(t, &state.Options{NoSync: true}, func(t *testing.T, f *fixture) {
				sc, want := f.Scope(agent), 0
				for _, writers := range []int{10, 16} {
					want += writers * 100
					together(writers, func(int) {
						for range 100 {
							if err := increment(sc, f.Store); err != nil {
								t.Error(err)
							}
						}
					})
					n, err := state.Get[int](ctx, sc, "n")
					require.NoError(t, err)
					require.Equal(t, want, n)
				}
			})
		})
	}
}

func TestAChangeIsMadeOfTheNewestValue(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.Set(ctx, "k", int64(1)))
		var seen []any
		v, err := sc.Update(ctx, "k", func(old any, found bool) (any, error) {
			require.True(t, found)
			if seen = append(seen, old); len(seen) == 1 {
				require.NoError(t, sc.Set(ctx, "k", int64(10)))
			}
			return old.(int64) + 1, nil
		})
		require.NoError(t, err)
		require.Equal(t, int64(11), v)
		require.Equal(t, []any{int64(1), int64(10)}, seen)
	})
}

// B28: of ten writers, and of 16, who append ten elements each all are there, each one's in its order.
func TestWritersOfOneList(t *testing.T) {
	everywhere(t, &state.Options{NoSync: true}, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		for _, writers := range []int{10, 16} {
			key := fmt.Sprint("messages of ", writers)
			together(writers, func(i int) {
				for n := range 10 {
					if _, err := sc.Append(ctx, key, i*10+n); err != nil {
						t.Error(err)
					}
				}
			})
			list, err := state.Get[[]int](ctx, sc, key)
			require.NoError(t, err)
			require.Len(t, list, 10*writers)
			next := make([]int, writers)
			for _, m := range list {
				require.Equal(t, next[m/10], m%10)
				next[m/10]++
			}
		}
	})
}

// B15, B28, with other operations of the same key in between, by 16 goroutines, and synced.
func TestWhatDependsOnAReadLosesNothing(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		together(16, func(i int) {
			for n := range 4 {
				var err error
				switch i % 4 {
				case 0:
					_, err = sc.Append(ctx, "list", int64(i*10+n))
				case 1:
					_, err = sc.Patch(ctx, "map", map[string]any{fmt.Sprint(i, n): n})
				case 2:
					_, err = state.Increment(ctx, sc, "n", 1.5)
				case 3:
					_, err = sc.Update(ctx, "list", func(old any, _ bool) (any, error) {
						list, _ := old.([]any)
						return append(list, int64(i*10+n)), nil
					})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
		list, err := state.Get[[]int](ctx, sc, "list")
		require.NoError(t, err)
		require.Len(t, list, 32)
		m, err := state.Get[map[string]int](ctx, sc, "map")
		require.NoError(t, err)
		require.Len(t, m, 16)
		n, err := state.Get[float64](ctx, sc, "n")
		require.NoError(t, err)
		require.Equal(t, 24.0, n)
	})
}

func TestOneOfManyCreatorsCreates(t *testing.T) {
	everywhere(t, &state.Options{NoSync: true}, func(t *testing.T, f *fixture) {
		for round := range 20 {
			var mu sync.Mutex
			made, deleted := 0, 0
			count := func(n *int, did bool, err error) {
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				} else if did {
					*n++
				}
			}
			sc := f.Scope(scope.Session(fmt.Sprint(round)))
			together(8, func(i int) {
				did, err := sc.SetIfAbsent(ctx, "k", i)
				count(&made, did, err)
			})
			together(8, func(int) {
				did, err := sc.Delete(ctx, "k")
				count(&deleted, did, err)
			})
			require.Equal(t, 1, made)
			require.Equal(t, 1, deleted)
		}
	})
}

func TestCompareAndSetTellsVersions(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		v1, err := sc.CompareAndSet(ctx, "k", state.Absent, "one")
		require.NoError(t, err)
		_, meta, err := sc.GetWithMeta(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, v1, meta.Version)
		v2, err := sc.CompareAndSet(ctx, "k", v1, "two", state.WithTTL(1e12))
		require.NoError(t, err)
		require.Greater(t, v2, v1)
		for _, stale := range []state.Version{v1, state.Absent, v2 + 1} {
			_, err = sc.CompareAndSet(ctx, "k", stale, "three")
			require.ErrorIs(t, err, state.ErrConflict)
		}
		e, err := sc.List(ctx, state.ListOptions{})
		require.NoError(t, err)
		require.Equal(t, "two", e.Entries[0].Value)
		require.Equal(t, v2, e.Entries[0].Version)
	})
}

func TestChangesThatCannotBeChangeNothing(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		sc := f.Scope(agent)
		require.NoError(t, sc.SetMany(ctx, map[string]any{"most": int64(math.MaxInt64), "text": "t"}))
		_, err := sc.Increment(ctx, "most", 1)
		require.ErrorIs(t, err, state.ErrOverflow)
		_, err = sc.Increment(ctx, "text", 1)
		require.ErrorIs(t, err, state.ErrType)
		_, err = sc.Append(ctx, "text", 1)
		require.ErrorIs(t, err, state.ErrType)
		_, err = state.Increment(ctx, sc, "unsigned", uint64(math.MaxUint64))
		require.NoError(t, err)
		_, err = state.Increment(ctx, sc, "unsigned", -1)
		require.ErrorIs(t, err, state.ErrOverflow)
		own := errors.New("own")
		_, err = sc.Update(ctx, "text", func(any, bool) (any, error) { return nil, own })
		require.ErrorIs(t, err, own)
		got, err := sc.GetMany(ctx, "most", "text", "unsigned", "absent")
		require.NoError(t, err)
		require.Equal(t, map[string]any{"most": int64(math.MaxInt64), "text": "t", "unsigned": uint64(math.MaxUint64)}, got)
	})
}

func TestAContextThatHasEndedEndsOperations(t *testing.T) {
	everywhere(t, nil, func(t *testing.T, f *fixture) {
		ended, cancel := context.WithCancel(ctx)
		defer cancel()
		sc := f.Scope(agent)
		_, err := sc.Update(ended, "k", func(any, bool) (any, error) {
			cancel()
			return 1, sc.Set(ctx, "k", 2) // so that the update must try again
		})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, sc.Set(ended, "k", 1), context.Canceled)
		_, err = sc.Get(ended, "k")
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, f.Transact(ended, func(*state.Txn) error { return nil }), context.Canceled)
		v, err := sc.Get(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, int64(2), v)
	})
}
