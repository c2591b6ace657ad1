// Package offheap allocates large byte regions outside the garbage-collected heap, so
// that memtable arenas and the block cache neither lengthen collections nor let the
// heap double on top of them.
//
// Under the race detector and the invariants build tag, and on systems without
// anonymous mappings, regions are ordinary heap slices: the race detector does not
// see mapped memory. Under the first two, Free and Poison overwrite them, so that tests
// find a use after the end: by its values, or as a race.
package offheap
