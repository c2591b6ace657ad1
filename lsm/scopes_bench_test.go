package lsm_test

import (
	"fmt"
	"testing"

	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// Verbs in the root and in a scope, in memory: docs/scopes.md has the figures.
func BenchmarkVerbs(b *testing.B) {
	db, err := lsm.Open("", &lsm.Options{InMemory: true})
	require.NoError(b, err)
	defer db.Close()
	hot, err := db.Scope(scope.Agent("hot"))
	require.NoError(b, err)
	const n = 10_000
	keys := make([][]byte, n)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key-%06d", i*7919%n)
		require.NoError(b, db.Set(keys[i], keys[i], lsm.NoSync))
		require.NoError(b, hot.Set(keys[i], keys[i], lsm.NoSync))
	}
	var dst [64]byte
	run := func(name string, f func(i int) error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := f(i % n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("get/root", func(i int) error { _, err := db.AppendGet(dst[:0], keys[i]); return err })
	run("get/scope", func(i int) error { _, err := hot.AppendGet(dst[:0], keys[i]); return err })
	run("set/root", func(i int) error { return db.Set(keys[i], keys[i], lsm.NoSync) })
	run("set/scope", func(i int) error { return hot.Set(keys[i], keys[i], lsm.NoSync) })
	run("handle", func(int) error { _, err := db.Scope(scope.Agent("hot")); return err })
	created := 0
	run("create", func(i int) error {
		created++
		sc, err := db.Scope(scope.Session(fmt.Sprint(created)))
		if err == nil {
			err = sc.Set(keys[i], keys[i], lsm.NoSync)
		}
		return err
	})
	run("create+drop", func(i int) error {
		sc, err := db.Scope(scope.User("u"))
		if err == nil {
			err = sc.Set(keys[i], keys[i], lsm.NoSync)
		}
		if err == nil {
			err = sc.Drop(lsm.NoSync)
		}
		return err
	})
}
