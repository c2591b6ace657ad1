package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
)

// What encryption costs is a matter of one engine in two tables: with -encrypt each table comes twice,
// first of stores in clear.

// encryptedTable and clearTable end the names of tables that come twice.
const (
	encryptedTable = "encrypted"
	clearTable     = "in clear"
)

// besideClear returns the tables, those of encrypted stores behind the same in clear.
func besideClear(groups []group) []group {
	var both []group
	for _, g := range groups {
		if g.config.Encrypted && len(g.choices) > 0 {
			plain := g
			plain.config.Encrypted, plain.datasets = false, nil
			plain.name = tableName(g.name, clearTable)
			g.name = tableName(g.name, encryptedTable)
			both = append(both, plain)
		}
		both = append(both, g)
	}
	return both
}

func tableName(name, more string) string {
	if name == "" {
		return more
	}
	return name + ", " + more
}

// encryptionCosts says for each table and engine how much slower each workload is where the store is
// encrypted: percent of the rate, and time of an operation.
func encryptionCosts(runs []result.Run) []string {
	type key struct{ table, engine string }
	rows := result.Rows(runs)
	costs := map[key][]string{}
	var order []key
	for i := range rows {
		r := &rows[i]
		table, ok := strings.CutSuffix(r.Group, encryptedTable)
		if !ok {
			continue
		}
		at := slices.IndexFunc(rows, func(o result.Row) bool {
			return o.Group == table+clearTable && o.Workload == r.Workload && o.Engine == r.Engine
		})
		if at < 0 || rows[at].Rate <= 0 || r.Rate <= 0 {
			continue
		}
		plain := &rows[at]
		k := key{strings.TrimSuffix(table, ", "), r.Engine}
		if costs[k] == nil {
			order = append(order, k)
		}
		costs[k] = append(costs[k], fmt.Sprintf("%s %.1f%% (%+.0f ns)", r.Workload, 100*(1-r.Rate/plain.Rate), math.Round(1e9/r.Rate-1e9/plain.Rate)))
	}
	var notes []string
	for _, k := range order {
		notes = append(notes, tableName(k.table, fmt.Sprintf("encryption costs %s of its rate: %s", k.engine, strings.Join(costs[k], ", "))))
	}
	return notes
}
