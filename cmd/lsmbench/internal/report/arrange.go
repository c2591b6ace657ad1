package report

import "github.com/loamdb/loam/cmd/lsmbench/internal/result"

// block is the rows of one workload: one for each engine.
type block struct {
	workload string
	rows     []*result.Row
}

// of returns the row of an engine, or nil.
func (b *block) of(engine string) *result.Row {
	for _, r := range b.rows {
		if r.Engine == engine {
			return r
		}
	}
	return nil
}

// group is the blocks that belong into one table.
type group struct {
	name   string
	blocks []*block
}

// engines returns the engines of the group in the order in which they appear.
func (g *group) engines() []string {
	var names []string
	for _, b := range g.blocks {
		for _, r := range b.rows {
			names = appendNew(names, r.Engine)
		}
	}
	return names
}

// arrange brings rows of one group, and in it those of one workload, together. Groups,
// workloads and engines stand in the order in which they first appear.
func arrange(rows []result.Row) []*group {
	var groups []*group
	byName := map[string]*group{}
	type key struct{ group, workload string }
	blocks := map[key]*block{}
	for i := range rows {
		r := &rows[i]
		g := byName[r.Group]
		if g == nil {
			g = &group{name: r.Group}
			byName[r.Group] = g
			groups = append(groups, g)
		}
		k := key{r.Group, r.Workload}
		if blocks[k] == nil {
			blocks[k] = &block{workload: r.Workload}
			g.blocks = append(g.blocks, blocks[k])
		}
		blocks[k].rows = append(blocks[k].rows, r)
	}
	return groups
}

// appendNew appends a name that is not there yet.
func appendNew(names []string, name string) []string {
	for _, n := range names {
		if n == name {
			return names
		}
	}
	return append(names, name)
}
