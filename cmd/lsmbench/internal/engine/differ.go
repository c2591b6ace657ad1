package engine

import "context"

// Differ is a store that tells what has changed. There is no stand-in: it would have to
// compare two copies of everything, or keep a log of its own.
type Differ interface {
	// Mark remembers this moment for Diff, and what was committed before is on the device.
	Mark() error
	// Diff visits every key that was set since the last Mark, in order, with the value that
	// it has now. Both live until visit returns.
	Diff(ctx context.Context, visit func(key, value []byte)) error
}
