//go:build peers

package engine

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/loamdb/loam/cmd/lsmbench/internal/units"
)

func init() { register(5, sqliteEngine{}) }

// sqliteEngine is SQLite as modernc.org/sqlite has it in Go, through database/sql: a B+
// tree in one file with a write-ahead log beside it, in one table without row numbers,
// which is the tree itself. The log is carried over into the file when it is as large as
// a memtable. Each session and each scanner is a connection, with a cache of its own.
type sqliteEngine struct{}

const (
	sqliteFile      = "store.sqlite"
	sqlitePageBytes = 4096
	// sqliteMapBytes is the most of the file that this build of SQLite maps.
	sqliteMapBytes = 0x7fff0000
	// sqliteWait is for how long a connection waits for the lock of another. Writers do
	// not get there, they wait in line; a reader may, while a log is being recovered.
	sqliteWait = 10 * time.Second
)

func (sqliteEngine) Name() string { return "sqlite" }

func (sqliteEngine) Settings(c Config) string {
	return fmt.Sprintf("pure Go build, WAL, synchronous NORMAL or, for a synced write, FULL; table without rowid, prepared statements; "+
		"caches of all connections together %s, the first %s of the file mapped besides; page %s, checkpoint from %s of log on, "+
		"no filters, ranges deleted by a condition on the key, compression none", units.Bytes(c.BudgetBytes), units.Bytes(sqliteMapBytes), units.Bytes(sqlitePageBytes),
		units.Bytes(sqliteLogPages(c)*sqlitePageBytes))
}

// sqliteLogPages is the length of the log at which a commit carries it over.
func sqliteLogPages(c Config) int64 { return max(c.MemtableBytes/sqlitePageBytes, 1) }

// LogFile is true of the write-ahead log and its index.
func (sqliteEngine) LogFile(name string) bool {
	return strings.HasSuffix(name, "-wal") || strings.HasSuffix(name, "-shm")
}

func (sqliteEngine) Open(dir string, c Config) (Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := url.URL{Path: filepath.Join(dir, sqliteFile)}
	db, err := sql.Open("sqlite", "file:"+path.EscapedPath())
	if err != nil {
		return nil, err
	}
	db.SetMaxIdleConns(0) // a connection given back is closed, with its cache
	s := &sqliteStore{db: db, config: c}
	s.upkeep, err = s.connect()
	if err == nil {
		// The upkeep rather does half of its work than wait for readers, and must not
		// hold a second copy of the store in memory.
		err = sqliteExec(s.upkeep, "PRAGMA busy_timeout=0; PRAGMA temp_store=FILE; "+
			"CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID")
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

type sqliteStore struct {
	db     *sql.DB
	config Config
	// upkeep is the connection of Settle, Compact and Verify. Its cache is as small as
	// SQLite makes it, and not counted.
	upkeep *sql.Conn
	// users are the sessions and scanners, which share the budget.
	users atomic.Int64
	// writing is held by the one writer there can be: the others wait in line, where
	// SQLite would have them try again and again.
	writing sync.Mutex
}

func sqliteExec(c *sql.Conn, statement string) error {
	_, err := c.ExecContext(context.Background(), statement)
	return err
}

// connect opens a connection. Its settings are its own, but for the first two.
func (s *sqliteStore) connect() (*sql.Conn, error) {
	c, err := s.db.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	err = sqliteExec(c, fmt.Sprintf("PRAGMA busy_timeout=%d; PRAGMA page_size=%d; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; "+
		"PRAGMA mmap_size=%d; PRAGMA wal_autocheckpoint=%d; PRAGMA temp_store=MEMORY",
		sqliteWait.Milliseconds(), sqlitePageBytes, int64(sqliteMapBytes), sqliteLogPages(s.config)))
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// sqliteUser is the connection of a session or a scanner.
type sqliteUser struct {
	store *sqliteStore
	conn  *sql.Conn
	users int64 // among how many the budget was shared when the cache was last sized
}

// use opens a connection with its statements, and counts it.
func (s *sqliteStore) use(statements map[**sql.Stmt]string) (sqliteUser, error) {
	c, err := s.connect()
	if err != nil {
		return sqliteUser{}, err
	}
	for to, statement := range statements {
		if *to, err = c.PrepareContext(context.Background(), statement); err != nil {
			return sqliteUser{}, errors.Join(err, c.Close())
		}
	}
	s.users.Add(1)
	return sqliteUser{store: s, conn: c}, nil
}

// share sizes the cache anew if connections have come or gone.
func (u *sqliteUser) share() error {
	users := u.store.users.Load()
	if users == u.users {
		return nil
	}
	u.users = users
	return sqliteExec(u.conn, fmt.Sprintf("PRAGMA cache_size=%d", -max(u.store.config.BudgetBytes/users/1024, 1)))
}

func (u *sqliteUser) close() error {
	u.store.users.Add(-1)
	return u.conn.Close()
}

func (s *sqliteStore) NewSession() (Session, error) {
	session := &sqliteSession{}
	var err error
	session.sqliteUser, err = s.use(map[**sql.Stmt]string{
		// REPLACE would delete a row that exists and insert another.
		&session.set:    "INSERT INTO kv (k, v) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
		&session.get:    "SELECT v FROM kv WHERE k = ?",
		&session.remove: "DELETE FROM kv WHERE k = ?",
		&session.cut:    "DELETE FROM kv WHERE k >= ? AND k < ?",
		&session.scan:   "SELECT k, v FROM kv WHERE k >= ? AND k < ? ORDER BY k",
		&session.copy:   "INSERT INTO kv (k, v) SELECT CAST(? || substr(k, ?) AS BLOB), v FROM kv WHERE k >= ? AND k < ?",
		&session.read:   "BEGIN",
		&session.write:  "BEGIN IMMEDIATE",
		&session.commit: "COMMIT",
	})
	if err != nil {
		return nil, err
	}
	return session, nil
}

// Settle carries the log over into the file, as far as open scanners let it, and ends
// it. Nothing goes on in the background.
func (s *sqliteStore) Settle(ctx context.Context) (time.Duration, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	return 0, s.checkpoint(ctx)
}

func (s *sqliteStore) checkpoint(ctx context.Context) error {
	_, err := s.upkeep.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// Compact writes the whole tree anew, in order and without gaps.
func (s *sqliteStore) Compact(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if _, err := s.upkeep.ExecContext(ctx, "VACUUM"); err != nil {
		return err
	}
	return s.checkpoint(ctx)
}

// Verify has SQLite check the tree's structure and order on every page. The file has no
// checksums.
func (s *sqliteStore) Verify(ctx context.Context) error {
	var answer string
	if err := s.upkeep.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&answer); err != nil {
		return err
	}
	if answer != "ok" {
		return errors.New("sqlite: " + answer)
	}
	return nil
}

func (s *sqliteStore) Stats() Stats { return UnknownStats }

func (s *sqliteStore) Close() error { return errors.Join(s.upkeep.Close(), s.db.Close()) }

type sqliteSession struct {
	sqliteUser
	set, get, remove, cut, scan, copy *sql.Stmt
	read, write, commit               *sql.Stmt
	synced                            bool // whether commits of this connection are
	raw, rawKey                       sql.RawBytes
}

// update runs what writes, in turn with the other sessions. With synchronous NORMAL a
// commit of the log is not synced; with FULL it is, and all of the log before it too.
func (s *sqliteSession) update(sync bool, write func() error) error {
	s.store.writing.Lock()
	defer s.store.writing.Unlock()
	if err := s.share(); err != nil {
		return err
	}
	if sync != s.synced {
		level := "NORMAL"
		if sync {
			level = "FULL"
		}
		if err := sqliteExec(s.conn, "PRAGMA synchronous="+level); err != nil {
			return err
		}
		s.synced = sync
	}
	return write()
}

func (s *sqliteSession) Set(key, value []byte, sync bool) error {
	return s.update(sync, func() error {
		_, err := s.set.Exec(key, value)
		return err
	})
}

// transact runs work in a transaction that begin starts.
func (s *sqliteSession) transact(begin *sql.Stmt, work func() error) error {
	if _, err := begin.Exec(); err != nil {
		return err
	}
	err := work()
	if err == nil {
		_, err = s.commit.Exec()
	}
	if err != nil {
		return errors.Join(err, sqliteExec(s.conn, "ROLLBACK"))
	}
	return nil
}

func (s *sqliteSession) SetBatch(pairs []Pair, sync bool) error {
	return s.update(sync, func() error {
		return s.transact(s.write, func() error {
			for _, p := range pairs {
				if _, err := s.set.Exec(p.Key, p.Value); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func (s *sqliteSession) Delete(key []byte) error {
	return s.update(false, func() error {
		_, err := s.remove.Exec(key)
		return err
	})
}

func (s *sqliteSession) DeleteBatch(keys [][]byte) error {
	return s.update(false, func() error {
		return s.transact(s.write, func() error {
			for _, key := range keys {
				if _, err := s.remove.Exec(key); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// lookup finds a value, which lives until visit returns.
func (s *sqliteSession) lookup(key []byte, visit func(value []byte)) (found bool, err error) {
	rows, err := s.get.Query(key)
	if err != nil {
		return false, err
	}
	if rows.Next() {
		found = true
		if err := rows.Scan(&s.raw); err != nil {
			return false, errors.Join(err, rows.Close())
		}
		visit(s.raw)
	}
	return found, errors.Join(rows.Err(), rows.Close())
}

func (s *sqliteSession) Get(dst, key []byte) ([]byte, bool, error) {
	if err := s.share(); err != nil {
		return dst, false, err
	}
	found, err := s.lookup(key, func(value []byte) { dst = append(dst, value...) })
	return dst, found, err
}

func (s *sqliteSession) MultiGet(keys [][]byte, visit func(i int, value []byte, found bool)) error {
	if err := s.share(); err != nil {
		return err
	}
	return s.transact(s.read, func() error {
		for i, key := range keys {
			found, err := s.lookup(key, func(value []byte) { visit(i, value, true) })
			if err != nil {
				return err
			}
			if !found {
				visit(i, nil, false)
			}
		}
		return nil
	})
}

func (s *sqliteSession) Close() error { return s.close() }

func (s *sqliteSession) NewScanner() (Scanner, error) {
	sc := &sqliteScanner{}
	var err error
	sc.sqliteUser, err = s.store.use(map[**sql.Stmt]string{
		&sc.all:      "SELECT k, v FROM kv ORDER BY k LIMIT ?",
		&sc.allBack:  "SELECT k, v FROM kv ORDER BY k DESC LIMIT ?",
		&sc.from:     "SELECT k, v FROM kv WHERE k >= ? ORDER BY k LIMIT ?",
		&sc.fromBack: "SELECT k, v FROM kv WHERE k <= (SELECT min(k) FROM kv WHERE k >= ?) ORDER BY k DESC LIMIT ?",
	})
	if err != nil {
		return nil, err
	}
	// The transaction sees the store as of its first read, so that is made at once.
	if err := sqliteExec(sc.conn, "BEGIN; SELECT 1 FROM kv LIMIT 1"); err != nil {
		return nil, errors.Join(err, sc.close())
	}
	return sc, nil
}

// sqliteScanner is a connection with a transaction open.
type sqliteScanner struct {
	sqliteUser
	all, allBack, from, fromBack *sql.Stmt
	key, value                   sql.RawBytes
}

func (s *sqliteScanner) Scan(from []byte, reverse bool, n int, visit func(key, value []byte) bool) (int, error) {
	if err := s.share(); err != nil {
		return 0, err
	}
	rows, err := s.query(from, reverse, n)
	if err != nil {
		return 0, err
	}
	count := 0
	for rows.Next() {
		if err := rows.Scan(&s.key, &s.value); err != nil {
			return count, errors.Join(err, rows.Close())
		}
		count++
		if !visit(s.key, s.value) {
			break
		}
	}
	return count, errors.Join(rows.Err(), rows.Close())
}

func (s *sqliteScanner) query(from []byte, reverse bool, n int) (*sql.Rows, error) {
	switch {
	case from != nil && reverse:
		return s.fromBack.Query(from, n)
	case from != nil:
		return s.from.Query(from, n)
	case reverse:
		return s.allBack.Query(n)
	}
	return s.all.Query(n)
}

func (s *sqliteScanner) Close() error {
	return errors.Join(sqliteExec(s.conn, "ROLLBACK"), s.close())
}
