// Package compaction decides which tables to merge, merges them, and leaves out what
// nobody can see any more.
//
// Deciding is pure: Pick, PickManual, PlaceFlush and DebtOf are functions of a
// manifest.Version and of Params. Merging reads tables and writes new ones through an
// Env; its result is a list of tables, which the owner installs by one version edit.
//
// The package must not know locks, the lives of files, memtables or the log: it imports
// neither lsm nor memtable nor wal. It does not know what values mean.
//
// The shape it strives for: level 0 holds sorted runs, one for each flush, cut where the
// tables of the base level end, so that jobs stay narrow. Below it levels of one run
// each, from the base level to the last one, each up to ten times the one before; a
// store below 2.5 GB has the last level only. When level 0 has enough runs, they are
// merged into the base level if they hold at least a third of its bytes, and among
// themselves otherwise, so that what is rewritten is in proportion to what is new.
//
// Invariants:
//
//   - C1. A job never moves a version of a key below an older one: for each table that
//     it takes out of a level, it takes every table of that level's older runs, and of
//     its own destination, that overlaps it.
//   - C2. Jobs that run at the same time share no input, and no two of them, nor a
//     flush that is placed directly, write to overlapping ranges of one level.
//   - C3. In each stripe between two snapshots, the newest version of a key survives,
//     and whatever it needs below it.
//   - C4. A tombstone is left out only when it lies in the oldest stripe, at or below
//     the given bound, and no table outside the job can hold an older version.
//   - C5. Entries are conserved: those read are those that the manifest lists, and each
//     is written or counted as left out, with its reason.
//   - C6. The versions of one user key are never split over two tables.
//   - C7. Sequence numbers are never changed, and kinds by folding and by moving a value into
//     or out of a blob file only: the fold of a key's operands has the number of the newest of
//     them.
//   - C8. A result names only tables and blob files that are synced, their directory entries
//     included.
//   - C9. Every version of a key goes when the owner says that its scope is dropped and
//     that no snapshot sees it: a table of nothing else goes by an edit alone.
//   - C10. A value in a blob file stays there, and only its reference is written anew, unless
//     the job says that the file is to go.
//
// Reading order: params.go, job.go, ranges.go, shape.go, pick.go, pick_level0.go,
// pick_level.go, pick_garbage.go, pick_dead.go, pick_small.go, pick_blobs.go, pick_keys.go, pick_manual.go, place.go, debt.go,
// key_use.go; then drop.go,
// elide.go, fold.go, split.go, merge.go, run_writer.go, blobs.go, run.go.
package compaction
