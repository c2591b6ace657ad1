package mutant

// Name is a planted bug.
type Name string

// The planted bugs. Each says what the bug does.
const (
	SkipWALSync         Name = "skip-wal-sync"          // acknowledge synced commits without syncing the log
	SkipTableSync       Name = "skip-table-sync"        // install tables that were never synced
	SkipDirSync         Name = "skip-dir-sync"          // install tables whose directory entry was never synced
	SkipManifestSync    Name = "skip-manifest-sync"     // install edits that were never synced
	SkipCurrentSync     Name = "skip-current-sync"      // swap the manifest pointer without syncing the directory
	TrustCurrent        Name = "trust-current"          // go on in a manifest that a power cut may replace by an earlier one
	TrustRecord         Name = "trust-record"           // go on behind a record of the manifest that nobody is known to have synced
	AckEarly            Name = "ack-early"              // acknowledge synced commits before the sync ends
	DropLogEarly        Name = "drop-log-early"         // recycle log segments before the flush is in the manifest
	RetrySync           Name = "retry-sync"             // try a failed sync of the log again and believe it
	IgnoreSyncError     Name = "ignore-sync-error"      // take a failed sync of the log for a success
	SkipChecksum        Name = "skip-checksum"          // do not verify block checksums
	UnseededChecksum    Name = "unseeded-checksum"      // leave file and place out of block checksums
	DropUnderSnapshot   Name = "drop-under-snapshot"    // compaction drops a version that a snapshot needs
	DropTombstone       Name = "drop-tombstone"         // compaction drops tombstones above older data
	ElideAboveOlderRuns Name = "elide-above-older-runs" // compaction drops tombstones above older runs of level 0
	PlaceInGap          Name = "place-in-gap"           // place a flush into a range that a running job will write to
	FlushUnpublished    Name = "flush-unpublished"      // flush entries that are not published, and may never be
	NeverIdle           Name = "never-idle"             // never take the store for one at rest
	DropHistoryFloor    Name = "drop-history-floor"     // install compactions without their history floor
	NeverSetAside       Name = "never-set-aside"        // try a table that cannot be read for ever
	DeleteAtClose       Name = "delete-at-close"        // remove obsolete tables at Close only
	KeepOrphans         Name = "keep-orphans"           // do not remove the files that a crash has left
	DropTime            Name = "drop-time"              // leave engine time out of the edit of Close
	SwallowReadError    Name = "swallow-read-error"     // take a failed block read for the end of a table
	AcceptStaleRecord   Name = "accept-stale-record"    // do not seed log checksums with the segment
	CutAboveClaim       Name = "cut-above-claim"        // take damage below a synced claim for a torn tail
	SkipLink            Name = "skip-link"              // do not check the link to the predecessor segment
	KeepAfterCut        Name = "keep-after-cut"         // replay segments after a cut
	ReuseSeqNum         Name = "reuse-seqnum"           // start below the reserved high-water mark after a crash
	PartialBatch        Name = "partial-batch"          // publish a batch before all of it is applied
	SkipRingCheck       Name = "skip-ring-check"        // commit what depends on others without a look at what was committed since
	TrustYoungRing      Name = "trust-young-ring"       // judge a commit by a ring that began after its committer had looked
	SkipRangeReads      Name = "skip-range-reads"       // do not look for what was written into the ranges that a transaction has read
	FilterOffByOne      Name = "filter-off-by-one"      // leave the last key of a table out of its filter
	IgnoreFsyncTable    Name = "ignore-table-error"     // install a table whose write failed
	PlainPublish        Name = "plain-publish"          // publish memtable nodes by plain stores: a data race
	EarlyPublish        Name = "early-publish"          // publish memtable nodes before their key and value are written
	ReuseScopeID        Name = "reuse-scope-id"         // start below the reserved scope ids when opening
	StaleScopeID        Name = "stale-scope-id"         // admit batches whose scope ids have lost their entries
	StaleScopeRead      Name = "stale-scope-read"       // believe reads whose scope id has lost its entry
	BuryEarly           Name = "bury-early"             // forget a dropped scope while tables hold some of it
	DeadUnderSnapshot   Name = "dead-under-snapshot"    // leave out what a dropped scope held while a snapshot sees it
	TrustSoftDeath      Name = "trust-soft-death"       // leave it out while a power cut may still undo the drop
	KeepStaged          Name = "keep-staged"            // publish a copy without taking back its record as staged
	KeepDeadRanges      Name = "keep-dead-ranges"       // keep range tombstones of dropped scopes
	DropInCheckpoint    Name = "drop-in-checkpoint"     // leave out what a dropped scope held while a checkpoint may not have its drop
	JudgeStaleScope     Name = "judge-stale-scope"      // believe a conflict that was found under an id which is not the scope's any more
	ForgetNamedIDs      Name = "forget-named-ids"       // Salvage takes ids for free that only the directory names
	KeepCovered         Name = "keep-covered"           // compaction keeps points under a range tombstone
	ForgetRangeReaders  Name = "forget-range-readers"   // a memtable drops range tombstones that snapshots need
	ElideRangeAbove     Name = "elide-range-above"      // compaction drops range tombstones above older data
	SkipReaders         Name = "skip-readers"           // free a replaced read state under the readers of its time
	UnheldCheckpoint    Name = "unheld-checkpoint"      // link tables that nothing keeps from being deleted
	SkipCopySync        Name = "skip-copy-sync"         // finish checkpoints whose copied tables were never synced
	SkipClearSync       Name = "skip-clear-sync"        // clear up after a failed checkpoint in no order that is durable
	IngestUnflushed     Name = "ingest-unflushed"       // ingest above a memtable that holds older entries
	IngestOldMemtable   Name = "ingest-old-memtable"    // let readers without ingested tables meet commits that came after them
	IngestUnpublished   Name = "ingest-unpublished"     // let compactions see ingested tables before they are visible
	SkipStragglers      Name = "skip-stragglers"        // free one under readers that entered across the flip before
	SkipFilterCheck     Name = "skip-filter-check"      // Verify does not ask filters for the keys of their tables
	SalvageBehindCut    Name = "salvage-behind-cut"     // Salvage reads the log behind the place where it was cut
	ExpireUnderSnapshot Name = "expire-under-snapshot"  // compaction takes for expired what a snapshot still sees
	DropExpired         Name = "drop-expired"           // compaction leaves no marker of an expired entry above older data
	DropMarkerEarly     Name = "drop-marker-early"      // compaction drops the marker of an expired entry below an operand that was meant for it
	JudgeBeforeExpiry   Name = "judge-before-expiry"    // commit what depends on an entry that has expired since it was judged
	ForgetTime          Name = "forget-time"            // leave engine time out of the edits of flushes and compactions
	SweepRewritten      Name = "sweep-rewritten"        // tell of the expiry of an entry that was written again
	FoldAcrossSnapshots Name = "fold-across-snapshots"  // compaction folds operands across snapshots
	FoldTwice           Name = "fold-twice"             // a fold with the number of an operand does not count as having it
	KeepOperandTime     Name = "keep-operand-time"      // operands keep the time that their batch came with
	UnboundedChains     Name = "unbounded-chains"       // nobody who writes folds a long chain
	ForgetOwnMerges     Name = "forget-own-merges"      // a transaction does not see its own operands
	SkipBlobSync        Name = "skip-blob-sync"         // install tables whose blob files were never synced
	ForgetBlobLink      Name = "forget-blob-link"       // finish checkpoints without their blob files
	DropBlobEarly       Name = "drop-blob-early"        // delete a blob file under readers of the tables that refer to it
	MoveWrongBlob       Name = "move-wrong-blob"        // count references of merged tables in the list of another one
	KeepBlobGarbage     Name = "keep-blob-garbage"      // never rewrite a blob file
	BlindScrub          Name = "blind-scrub"            // the scrub reads tables and compares nothing
)
