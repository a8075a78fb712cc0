package keystilesql

import (
	"embed"
	"regexp"
	"strings"
	"sync"
	"time"
)

// dialect is what one kind of database does in its own way.
type dialect struct {
	name string
	// rowID is the column by which rows are in the order of their insertion.
	rowID string
	// record and event are what is selected of a row, each column as a value of a plain kind:
	// a whole number, a text or nothing.
	record, event string
	// is compares values that may be nothing.
	is string
	// metadata is the columns that the metadata goes to, with what is made of its text.
	metadata []column
	// placeholder is written for "$" and a number, and casts go with it.
	spelling func(string) string
	// instant, flag and json are values as the columns hold them.
	instant func(time.Time) any
	flag    func(bool) any
	// begin begins a transaction as a writer.
	begin []string
	// noteUses is one statement, where there is one; else uses are noted one by one.
	noteUses string
	files    embed.FS
	folder   string
	lock     string
	hasTable string
	spelled  sync.Map
}

// column is a column, and how a parameter becomes a value of it.
type column struct{ name, cast string }

// The files of the Rust store, copied: `cargo xtask go-lib` renews them, and a test holds
// the two against each other.
var (
	//go:embed migrations/sqlite/*.sql
	sqliteFiles embed.FS
	//go:embed migrations/postgres/*.sql
	postgresFiles embed.FS
)

// columns are those of a record, but for the two that other writes keep, the last use and
// the uses that are left, and for the metadata.
var columns = []column{
	{"key_id", "text"}, {"lineage", "text"}, {"version", "bigint"}, {"status", "text"},
	{"revoked_at", "timestamptz"}, {"revoke_reason", "text"}, {"is_active", "boolean"},
	{"key_hash", "text"}, {"digest_pepper", "bigint"}, {"key_prefix", "text"},
	{"client_name", "text"}, {"client_email", "text"}, {"owner", "text"}, {"environment", "text"},
	{"permissions", "text::jsonb"}, {"allowed_endpoints", "text::jsonb"},
	{"allowed_networks", "text::jsonb"}, {"rate_limit", "bigint"}, {"rate_window_ms", "bigint"},
	{"rate_burst", "bigint"}, {"scope_type", "text"}, {"created_at", "timestamptz"},
	{"expires_at", "timestamptz"}, {"replaced_by", "text"}, {"overlap_until", "timestamptz"},
	{"ends_at_first_use", "text"},
}

// Where a column stands for its own value alone, a "+" before it keeps drivers from making
// something else of it because of the column's type.
var sqlite = dialect{
	name:  "SQLite",
	rowID: "rowid",
	record: "k.rowid AS row, " + plain(`key_id key_hash digest_pepper key_prefix client_name
		client_email owner environment permissions allowed_endpoints allowed_networks rate_limit
		rate_window_ms rate_burst scope_type metadata created_at last_used_at expires_at is_active
		status revoked_at revoke_reason lineage replaced_by overlap_until ends_at_first_use version`) +
		", u.lineage AS usage_lineage, u.remaining_uses AS remaining_uses",
	event:    "number AS row, " + plain("kind key_id at reason successor"),
	is:       "IS",
	metadata: []column{{"metadata", ""}},
	spelling: func(query string) string { return parameter.ReplaceAllString(query, "?$1") },
	instant:  func(at time.Time) any { return writeInstant(at) },
	flag: func(flag bool) any {
		if flag {
			return int64(1)
		}
		return int64(0)
	},
	begin:    []string{"PRAGMA busy_timeout = 5000", "PRAGMA foreign_keys = ON", "BEGIN IMMEDIATE"},
	files:    sqliteFiles,
	folder:   "migrations/sqlite",
	hasTable: "SELECT count(*) AS row FROM sqlite_schema WHERE type = 'table' AND name = 'keystile_migrations'",
}

var postgres = dialect{
	name:  "PostgreSQL",
	rowID: "id",
	record: `k.id::bigint AS row, k.key_id, k.key_hash::text AS key_hash, k.digest_pepper,
		k.key_prefix, k.client_name, k.client_email, k.owner, k.environment,
		k.permissions::text AS permissions, k.allowed_endpoints::text AS allowed_endpoints,
		k.allowed_networks::text AS allowed_networks, k.rate_window_ms, k.rate_burst, k.scope_type,
		k.metadata_text, k.metadata::text AS metadata, k.is_active::int::bigint AS is_active, k.status,
		k.revoke_reason, k.lineage, k.replaced_by, k.ends_at_first_use, k.version,
		u.lineage AS usage_lineage, u.remaining_uses, ` +
		// Where other code lowered the limit since, the wider one no longer counts.
		`CASE WHEN k.rate_limit = 2147483647 THEN coalesce(k.rate_limit_wide, k.rate_limit)
		ELSE k.rate_limit END::bigint AS rate_limit, ` +
		millis("k", "created_at last_used_at expires_at revoked_at overlap_until"),
	event:    "number AS row, kind, key_id, reason, successor, " + millis("k", "at"),
	is:       "IS NOT DISTINCT FROM",
	metadata: []column{{"metadata_text", "bytea"}, {"metadata", "bytea"}, {"rate_limit_wide", "bigint"}},
	spelling: func(query string) string { return query },
	instant:  func(at time.Time) any { return at },
	flag:     func(flag bool) any { return flag },
	begin:    []string{"BEGIN"},
	noteUses: `UPDATE api_keys k SET last_used_at = due.at
		FROM (SELECT k.id, used.at FROM api_keys k
			JOIN (SELECT key_id, max(to_timestamp(at / 1000.0)) AS at
				FROM jsonb_to_recordset($1::text::jsonb) AS used (key_id text, at bigint)
				GROUP BY key_id) AS used ON used.key_id = k.key_id
			WHERE k.last_used_at IS NULL OR k.last_used_at < used.at
			ORDER BY k.id FOR NO KEY UPDATE OF k) AS due
		WHERE k.id = due.id AND (k.last_used_at IS NULL OR k.last_used_at < due.at)`,
	files:  postgresFiles,
	folder: "migrations/postgres",
	// "kstm" in ASCII, and the schema: two programs that start together take turns.
	lock:     "SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(1802728557, hashtext(current_schema()))",
	hasTable: "SELECT CASE WHEN to_regclass('keystile_migrations') IS NULL THEN 0 ELSE 1 END AS row",
}

var parameter = regexp.MustCompile(`\$(\d+)(::[a-z]+)*`)

// spell is a query in the dialect's own spelling, which is worked out once.
func (d *dialect) spell(query string) string {
	if known, is := d.spelled.Load(query); is {
		return known.(string)
	}
	spelled := d.spelling(query)
	d.spelled.Store(query, spelled)
	return spelled
}

func plain(names string) string {
	var selected []string
	for _, name := range strings.Fields(names) {
		selected = append(selected, "+k."+name+" AS "+name)
	}
	return strings.Join(selected, ", ")
}

// millis selects instants as milliseconds since 1970, parts of one cut off; -1 is an
// infinite one, which is damage, and never "no end".
func millis(table, names string) string {
	var selected []string
	for _, name := range strings.Fields(names) {
		at := table + "." + name
		selected = append(selected, "CASE WHEN "+at+" IS NULL THEN NULL WHEN isfinite("+at+
			") THEN (extract(epoch FROM date_trunc('milliseconds', "+at+")) * 1000)::bigint ELSE -1 END AS "+name)
	}
	return strings.Join(selected, ", ")
}
