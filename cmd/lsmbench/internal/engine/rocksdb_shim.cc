//go:build rocksdb && cgo

// The C++ half of rocksdb.go. RocksDB's own C interface lacks what its users bound memory
// with, a manager that takes the memtables' memory out of the cache, and allocates for
// every value it returns.

#include "rocksdb_shim.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/merge_operator.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/version.h>
#include <rocksdb/write_batch.h>
#include <rocksdb/write_buffer_manager.h>

using rocksdb::PinnableSlice;
using rocksdb::Slice;
using rocksdb::Status;

namespace {

char *error_of(const Status &s) { return s.ok() ? nullptr : strdup(s.ToString().c_str()); }

int64_t now() {
	return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Counts what RocksDB tells of its work: that costs no reader or writer anything.
struct Listener : rocksdb::EventListener {
	std::atomic<int64_t> table_bytes{0}, stalls{0}, stall_ns{0}, since{0};

	void OnTableFileCreated(const rocksdb::TableFileCreationInfo &info) override {
		if (info.status.ok()) table_bytes += int64_t(info.file_size);
	}

	void OnStallConditionsChanged(const rocksdb::WriteStallInfo &info) override {
		const auto normal = rocksdb::WriteStallCondition::kNormal;
		const bool was = info.condition.prev != normal, is = info.condition.cur != normal;
		if (!was && is) {
			stalls++;
			since = now();
		} else if (was && !is) {
			stall_ns += now() - since;
		}
	}
};

// Adds numbers of 8 bytes, little endian.
struct Adder : rocksdb::AssociativeMergeOperator {
	static bool number(const Slice &s, uint64_t *n) {
		if (s.size() != sizeof *n) return false;
		memcpy(n, s.data(), sizeof *n);
		return true;
	}

	bool Merge(const Slice &, const Slice *existing, const Slice &operand, std::string *value, rocksdb::Logger *) const override {
		uint64_t sum = 0, delta = 0;
		if ((existing != nullptr && !number(*existing, &sum)) || !number(operand, &delta)) return false;
		sum += delta;
		value->assign(reinterpret_cast<const char *>(&sum), sizeof sum);
		return true;
	}

	const char *Name() const override { return "lsmbench.add"; }
};

// The most entries, and about the most bytes, that a scanner reads in one call.
const size_t kPortion = 64, kPortionBytes = 64 << 10;

rocksdb::Options options_of(const rocks_config &c, std::shared_ptr<Listener> listener) {
	rocksdb::BlockBasedTableOptions t;
	t.block_cache = rocksdb::NewLRUCache(c.budget_bytes);
	t.block_size = c.block_bytes;
	// Indexes and filters count as part of the cache, but are never evicted from it, nor
	// looked up in it.
	t.cache_index_and_filter_blocks = true;
	t.metadata_cache_options.top_level_index_pinning = rocksdb::PinningTier::kAll;
	t.metadata_cache_options.partition_pinning = rocksdb::PinningTier::kAll;
	t.metadata_cache_options.unpartitioned_pinning = rocksdb::PinningTier::kAll;
	t.data_block_index_type = rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;
	if (c.filter_bits > 0) t.filter_policy.reset(rocksdb::NewBloomFilterPolicy(c.filter_bits));

	rocksdb::Options o;
	o.create_if_missing = true;
	o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(t));
	// No limit of its own: it takes what memtables use out of the cache.
	o.write_buffer_manager.reset(new rocksdb::WriteBufferManager(0, t.block_cache));
	o.write_buffer_size = c.memtable_bytes;
	o.max_write_buffer_number = c.memtables;
	o.level0_file_num_compaction_trigger = c.l0_trigger;
	o.max_bytes_for_level_base = c.memtable_bytes * uint64_t(c.l0_trigger);
	o.target_file_size_base = c.memtable_bytes;
	o.level_compaction_dynamic_level_bytes = true;
	o.max_background_jobs = c.compactions + 1; // and one flush
	o.compaction_readahead_size = 2 << 20;
	o.bytes_per_sync = 1 << 20;
	o.max_open_files = -1;
	const rocksdb::CompressionType types[] = {rocksdb::kNoCompression, rocksdb::kSnappyCompression, rocksdb::kZSTD};
	o.compression = types[c.compression];
	// The text that RocksDB writes of its work, and counting files at open, are left out.
	o.info_log_level = rocksdb::FATAL_LEVEL;
	o.stats_dump_period_sec = 0;
	o.stats_persist_period_sec = 0;
	o.skip_stats_update_on_db_open = true;
	o.listeners.push_back(listener);
	o.merge_operator.reset(new Adder);
	return o;
}

}  // namespace

struct rocks_store {
	std::shared_ptr<Listener> listener;
	std::unique_ptr<rocksdb::DB> db;
};

struct rocks_session {
	rocksdb::DB *db;
	rocksdb::WriteBatch batch;
	PinnableSlice pinned;
	// Of rocks_get_all, as long as the longest call needed.
	std::vector<Slice> keys;
	std::vector<PinnableSlice> values;
	std::vector<Status> statuses;
	std::vector<rocks_value> out;

	char *write(const Status &filled, int sync) {
		rocksdb::WriteOptions o;
		o.sync = sync != 0;
		const Status s = filled.ok() ? db->Write(o, &batch) : filled;
		batch.Clear();
		return error_of(s);
	}
};

struct rocks_scanner {
	std::unique_ptr<rocksdb::Iterator> it;
	std::string data;
	rocks_value entries[2 * kPortion];
};

int rocks_asserts(void) {
#ifdef NDEBUG
	return 0;
#else
	return 1;
#endif
}

const char *rocks_version(void) {
	static const std::string version = rocksdb::GetRocksVersionAsString();
	return version.c_str();
}

char *rocks_open(const char *dir, const rocks_config *config, rocks_store **store) {
	std::unique_ptr<rocks_store> s(new rocks_store);
	s->listener.reset(new Listener);
	rocksdb::DB *db = nullptr;
	const Status opened = rocksdb::DB::Open(options_of(*config, s->listener), dir, &db);
	s->db.reset(db);
	if (opened.ok()) *store = s.release();
	return error_of(opened);
}

char *rocks_close(rocks_store *store) {
	char *error = error_of(store->db->Close());
	delete store;
	return error;
}

char *rocks_flush(rocks_store *store) { return error_of(store->db->Flush(rocksdb::FlushOptions())); }

char *rocks_compact(rocks_store *store) {
	return error_of(store->db->CompactRange(rocksdb::CompactRangeOptions(), nullptr, nullptr));
}

char *rocks_verify(rocks_store *store) { return error_of(store->db->VerifyChecksum()); }

char *rocks_checkpoint(rocks_store *store, const char *dir) {
	rocksdb::Checkpoint *checkpoint = nullptr;
	Status s = rocksdb::Checkpoint::Create(store->db.get(), &checkpoint);
	std::unique_ptr<rocksdb::Checkpoint> owned(checkpoint);
	if (s.ok()) s = checkpoint->CreateCheckpoint(dir);
	return error_of(s);
}

int rocks_busy(rocks_store *store) {
	using P = rocksdb::DB::Properties;
	for (const std::string *name : {&P::kMemTableFlushPending, &P::kNumRunningFlushes, &P::kCompactionPending, &P::kNumRunningCompactions}) {
		uint64_t n = 0;
		if (!store->db->GetIntProperty(*name, &n) || n > 0) return 1;
	}
	return 0;
}

rocks_stats rocks_get_stats(rocks_store *store) {
	const Listener &l = *store->listener;
	return {l.table_bytes, l.stalls, l.stall_ns};
}

rocks_session *rocks_new_session(rocks_store *store) {
	rocks_session *session = new rocks_session;
	session->db = store->db.get();
	return session;
}

void rocks_free_session(rocks_session *session) { delete session; }

char *rocks_set(rocks_session *session, const void *key, size_t key_size, const void *value, size_t value_size, int sync) {
	const Slice k(static_cast<const char *>(key), key_size), v(static_cast<const char *>(value), value_size);
	return session->write(session->batch.Put(k, v), sync);
}

char *rocks_set_all(rocks_session *session, const char *data, const uint32_t *sizes, size_t n, int sync) {
	Status s;
	for (; n > 0 && s.ok(); n--, sizes += 2) {
		const Slice k(data, sizes[0]), v(data + sizes[0], sizes[1]);
		data += k.size() + v.size();
		s = session->batch.Put(k, v);
	}
	return session->write(s, sync);
}

char *rocks_delete(rocks_session *session, const void *key, size_t key_size) {
	return session->write(session->batch.Delete(Slice(static_cast<const char *>(key), key_size)), 0);
}

char *rocks_add(rocks_session *session, const void *key, size_t key_size, uint64_t delta) {
	const Slice operand(reinterpret_cast<const char *>(&delta), sizeof delta); // machines are little endian
	return session->write(session->batch.Merge(Slice(static_cast<const char *>(key), key_size), operand), 0);
}

char *rocks_delete_all(rocks_session *session, const char *keys, const uint32_t *sizes, size_t n) {
	Status s;
	for (; n > 0 && s.ok(); n--, sizes++) {
		s = session->batch.Delete(Slice(keys, *sizes));
		keys += *sizes;
	}
	return session->write(s, 0);
}

char *rocks_delete_range(rocks_session *session, const void *lower, size_t lower_size, const void *upper, size_t upper_size) {
	const Slice l(static_cast<const char *>(lower), lower_size), u(static_cast<const char *>(upper), upper_size);
	return session->write(session->batch.DeleteRange(session->db->DefaultColumnFamily(), l, u), 0);
}

rocks_got rocks_get(rocks_session *session, const void *key, size_t key_size, void *to, size_t room) {
	PinnableSlice &v = session->pinned;
	const Status s = session->db->Get(rocksdb::ReadOptions(), session->db->DefaultColumnFamily(),
	                                  Slice(static_cast<const char *>(key), key_size), &v);
	rocks_got got = {nullptr, s.ok(), v.size()};
	if (!s.ok()) {
		if (!s.IsNotFound()) got = {error_of(s), -1, 0};
	} else if (v.size() > room) {
		return got;
	} else if (v.size() > 0) {
		memcpy(to, v.data(), v.size());
	}
	v.Reset();
	return got;
}

void rocks_take(rocks_session *session, void *to) {
	memcpy(to, session->pinned.data(), session->pinned.size());
	session->pinned.Reset();
}

char *rocks_get_all(rocks_session *session, const char *keys, const uint32_t *sizes, size_t n, const rocks_value **values) {
	rocks_session &s = *session;
	if (s.values.size() < n) {
		s.values = std::vector<PinnableSlice>(n);
		s.keys.resize(n);
		s.statuses.resize(n);
		s.out.resize(n);
	}
	for (size_t i = 0; i < n; i++) {
		s.keys[i] = Slice(keys, sizes[i]);
		keys += sizes[i];
	}
	s.db->MultiGet(rocksdb::ReadOptions(), s.db->DefaultColumnFamily(), n, s.keys.data(), s.values.data(), s.statuses.data());
	for (size_t i = 0; i < n; i++) {
		if (s.statuses[i].ok()) {
			s.out[i] = {s.values[i].data(), s.values[i].size()};
		} else if (s.statuses[i].IsNotFound()) {
			s.out[i] = {nullptr, 0};
		} else {
			char *error = error_of(s.statuses[i]);
			rocks_release(session, n);
			return error;
		}
	}
	*values = s.out.data();
	return nullptr;
}

void rocks_release(rocks_session *session, size_t n) {
	for (size_t i = 0; i < n; i++) session->values[i].Reset();
}

rocks_scanner *rocks_new_scanner(rocks_store *store) {
	rocks_scanner *scanner = new rocks_scanner;
	scanner->it.reset(store->db->NewIterator(rocksdb::ReadOptions()));
	return scanner;
}

void rocks_free_scanner(rocks_scanner *scanner) { delete scanner; }

void rocks_seek(rocks_scanner *scanner, const void *key, size_t key_size, int last) {
	if (key != nullptr) {
		scanner->it->Seek(Slice(static_cast<const char *>(key), key_size));
	} else if (last) {
		scanner->it->SeekToLast();
	} else {
		scanner->it->SeekToFirst();
	}
}

// An entry lives until the iterator moves, so it is copied.
char *rocks_walk(rocks_scanner *scanner, int reverse, size_t *n, const rocks_value **entries) {
	rocks_scanner &s = *scanner;
	s.data.clear();
	size_t count = 0;
	for (; s.it->Valid() && count < *n && count < kPortion && s.data.size() < kPortionBytes; count++) {
		const Slice k = s.it->key(), v = s.it->value();
		s.data.append(k.data(), k.size()).append(v.data(), v.size());
		s.entries[2 * count].size = k.size();
		s.entries[2 * count + 1].size = v.size();
		if (reverse) {
			s.it->Prev();
		} else {
			s.it->Next();
		}
	}
	const char *data = s.data.data();
	for (size_t i = 0; i < 2 * count; i++) {
		s.entries[i].data = data;
		data += s.entries[i].size;
	}
	*n = count;
	*entries = s.entries;
	return error_of(s.it->status());
}
