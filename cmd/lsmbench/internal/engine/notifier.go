package engine

import "context"

// Notifier is a store that tells of commits. There is no stand-in: a program that does all
// writing itself can tell its own parts, but not of what the store has accepted, or in
// which order.
type Notifier interface {
	// Watch calls visit, in a goroutine of its own, for every write of a key with a prefix,
	// in the order of the commits, until ctx ends; then wait returns. Key and value live
	// until visit returns. What is committed soon after Watch has returned may be left out.
	Watch(ctx context.Context, prefix []byte, visit func(key, value []byte)) (wait func() error, err error)
}
