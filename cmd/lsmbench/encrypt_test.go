package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/realdata"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/workload"
)

func TestEncryptedTablesStandBehindThoseInClear(t *testing.T) {
	encrypted := engine.Config{Encrypted: true, FilterBits: 7}
	choices := []workload.Choice{{Name: "get"}}
	groups := besideClear([]group{
		{config: encrypted, choices: choices, datasets: []realdata.Dataset{{}}}, {name: "large", config: encrypted, choices: choices}, {name: "load", config: encrypted},
	})
	var names []string
	for _, g := range groups {
		names = append(names, g.name)
		require.Equal(t, 7, g.config.FilterBits)
	}
	require.Equal(t, []string{"in clear", "encrypted", "large, in clear", "large, encrypted", "load"}, names)
	require.False(t, groups[0].config.Encrypted)
	require.Empty(t, groups[0].datasets, "they are loaded once")
	require.True(t, groups[1].config.Encrypted)
	require.Len(t, groups[1].datasets, 1)
	plain := []group{{name: "a", choices: choices}}
	require.Equal(t, plain, besideClear(plain))
}

func TestWhatEncryptionCostsIsOfTheSameRow(t *testing.T) {
	row := func(table, engine, workload string, rate float64) result.Run {
		return result.Run{Group: table, Engine: engine, Workload: workload, Rate: rate}
	}
	require.Equal(t, []string{
		"encryption costs loam of its rate: set 20.0% (+250 ns), get -25.0% (-200 ns)",
		"large, encryption costs loam of its rate: set 50.0% (+1000000 ns)",
		"large, encryption costs badger of its rate: set 10.0% (+111111 ns)",
	}, encryptionCosts([]result.Run{
		row("in clear", "loam", "set", 1e6), row("in clear", "loam", "get", 1e6), row("in clear", "badger", "get", 1e6), row("a", "loam", "set", 1),
		row("encrypted", "loam", "set", 0.8e6), row("encrypted", "loam", "get", 1.25e6), row("encrypted", "loam", "scan", 1), row("encrypted", "badger", "get", 0),
		row("large, in clear", "loam", "set", 1000), row("large, in clear", "badger", "set", 1000),
		row("large, encrypted", "loam", "set", 500), row("large, encrypted", "badger", "set", 900),
	}))
}
