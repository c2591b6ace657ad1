// Package prefetch asks the processor for memory that will be needed soon, so that misses of its caches come side by
// side in place of one after the other. It decides about speed and nothing else.
package prefetch
