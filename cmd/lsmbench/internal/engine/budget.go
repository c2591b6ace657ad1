//go:build peers

package engine

// cacheBytes is the share of the budget of an engine's cache that is left by as many
// memtables as the engine may hold at a time. It is not less than an eighth.
func cacheBytes(c Config, memtables int) int64 {
	return max(c.BudgetBytes-int64(memtables)*c.MemtableBytes, c.BudgetBytes/8)
}
