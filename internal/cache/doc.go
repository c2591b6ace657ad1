// Package cache holds verified, decompressed blocks of tables in memory outside the
// garbage-collected heap.
//
// A File has one slot of four bytes for each of its blocks, so that a hit hashes
// nothing and takes no lock: it loads the slot, pins the frame that the slot names
// with one atomic addition, and compares the frame's owner. Frames are cut from slabs,
// each slab for one size class. A frame is evicted by a clock hand, one per class; a
// class whose blocks are colder than another's gives up slabs to it.
//
// The package knows nothing of what blocks hold, where they are read from, and how
// they are verified. Whoever calls Insert vouches for the bytes.
//
// Invariants:
//
//   - C1. The bytes of a Handle do not change and stay readable until its Release.
//   - C2. A published frame is claimed, for eviction or when its file closes, only by a
//     compare-and-swap from "published, no pins". A claimed frame has one owner, who
//     alone writes its bytes and its fields, until it is published.
//   - C3. Any goroutine may add a pin to any frame at any time, and must take it back
//     at once if the frame is not published or not the block it wants. Owners therefore
//     change a frame's state by addition and compare-and-swap, never by a store.
//   - C4. A slot names a published frame or one that is being claimed; what it names is
//     checked after the pin, so that a stale slot costs a miss, never wrong bytes.
//   - C5. The bytes of all slabs never exceed the capacity. No slab is added while they
//     reach the limit.
//   - C6. The memory of a slab goes back to the system only when all of its frames are
//     claimed, and no slot's name leads to it any more.
//
// Reading order: cache.go, file.go, frame.go, slab.go, alloc.go, evict.go, limit.go,
// reserve.go.
package cache
