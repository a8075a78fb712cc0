package keystilesql

import (
	"embed"
	"regexp"
	"strings"
	"sync"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// dialect is what differs between the databases.
type dialect struct {
	// exactClient is the client of a key k, to be compared byte by byte.
	exactClient string
	// exactOwner is the owner of a key o, to be compared byte by byte.
	exactOwner string
	name       string
	// rowID is the column that orders rows by their insertion.
	rowID string
	// record and event are the columns to select, each as a plain value: an integer, a text
	// or NULL.
	record, event string
	// is compares values that may be NULL.
	is string
	// isLeft is whether {end} is none, or after the second parameter.
	isLeft string
	// metadata is the columns for the metadata, with the conversion of its text.
	metadata []column
	// spelling converts a query to the dialect: placeholders for "$" and a number, and
	// casts.
	spelling func(string) string
	// instant, flag and json convert values for the columns.
	instant func(time.Time) any
	flag    func(bool) any
	// begin begins a transaction that will write.
	begin []string
	// among selects rows whose {column} is in the JSON array that is the first parameter.
	among string
	// plainInstant selects an instant of another table than that of the keys, as a plain value.
	plainInstant func(name string) string
	// oldRequests removes answers of requests until the instant in the first parameter, at most 100:
	// so many that fewer are added.
	oldRequests string
	// holdDigests comes first in a batch that remembers digests or removed keys, if others may insert
	// such a key at the same time.
	holdDigests string
	// clock is the database's own clock in milliseconds, or NULL if it has none.
	clock string
	// noteUses and noteRates are one statement for many uses and states; if they are empty,
	// these are written one by one.
	noteUses, noteRates string
	files               embed.FS
	folder              string
	lock                string
	hasTable            string
	hasKeys             string
	spelled             sync.Map
}

// column is a column, and how a parameter is cast to it.
type column struct{ name, cast string }

// Copies of the files of the Rust store: `cargo xtask go-lib` renews them, and a test
// compares them.
var (
	//go:embed migrations/sqlite/*.sql
	sqliteFiles embed.FS
	//go:embed migrations/postgres/*.sql
	postgresFiles embed.FS
)

// columns are those of a record, except the last use and the remaining uses, which other
// statements write, and except the metadata.
var columns = []column{
	{"key_id", "text"}, {"lineage", "text"}, {"version", "bigint"}, {"status", "text"},
	{"revoked_at", "timestamptz"}, {"revoke_reason", "text"}, {"is_active", "boolean"},
	{"key_hash", "text"}, {"digest_pepper", "bigint"}, {"key_prefix", "text"},
	{"client_name", "text"}, {"client_email", "text"}, {"owner", "text"}, {"environment", "text"},
	{"permissions", "text::jsonb"}, {"allowed_endpoints", "text::jsonb"},
	{"allowed_networks", "text::jsonb"}, {"rate_limit", "bigint"}, {"rate_window_ms", "bigint"},
	{"rate_burst", "bigint"}, {"scope_type", "text"}, {"created_at", "timestamptz"},
	{"expires_at", "timestamptz"}, {"replaced_by", "text"}, {"overlap_until", "timestamptz"},
	{"ends_at_first_use", "text"}, {"lifetime_ms", "bigint"}, {"derived_from", "text"},
	{"derived_lineage", "text"}, {"suspended_with", "text"},
}

// postgresClock goes on inside a transaction, as now() does not.
const postgresClock = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"

// postgresArrival is when the statement arrived, by the same clock.
const postgresArrival = "floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint"

// If a column is selected only for its value, a "+" before it keeps drivers from converting
// the value to the column's type.
var sqlite = dialect{
	name:  "SQLite",
	rowID: "rowid",
	record: "k.rowid AS row, " + plain(`key_id key_hash digest_pepper key_prefix client_name
		client_email owner environment permissions allowed_endpoints allowed_networks rate_limit
		rate_window_ms rate_burst scope_type metadata created_at last_used_at expires_at is_active
		status revoked_at revoke_reason lineage replaced_by overlap_until ends_at_first_use lifetime_ms
		derived_from derived_lineage suspended_with version`) +
		", u.lineage AS usage_lineage, u.remaining_uses AS remaining_uses, u.rate_state AS rate_state",
	event: "number AS row, " + plain("kind key_id at reason successor version actor origin changes"),
	is:    "IS",
	// What is no date in this form has not ended: it may be damaged.
	isLeft: `({end} IS NULL OR typeof({end}) <> 'text' OR {end} NOT LIKE '____-__-__%'
		OR coalesce(julianday({end}) > $2::bigint / 86400000.0 + 2440587.5, 1))`,
	metadata: []column{{"metadata", ""}},
	spelling: func(query string) string { return parameter.ReplaceAllString(query, "?$1") },
	instant:  func(at time.Time) any { return writeInstant(at) },
	flag: func(flag bool) any {
		if flag {
			return int64(1)
		}
		return int64(0)
	},
	exactClient:  "k.client_name COLLATE BINARY",
	exactOwner:   "o.owner COLLATE BINARY",
	among:        "{column} IN (SELECT value FROM json_each($1))",
	plainInstant: func(name string) string { return "+" + name + " AS " + name },
	oldRequests: "DELETE FROM api_key_issue_requests WHERE rowid IN" +
		" (SELECT rowid FROM api_key_issue_requests WHERE at <= $1::timestamptz ORDER BY at LIMIT 100)",
	clock:    "NULL",
	begin:    []string{"PRAGMA busy_timeout = 5000", "PRAGMA foreign_keys = ON", "BEGIN IMMEDIATE"},
	files:    sqliteFiles,
	folder:   "migrations/sqlite",
	hasTable: "SELECT count(*) AS row FROM sqlite_schema WHERE type = 'table' AND name = 'keystile_migrations'",
	hasKeys:  "SELECT count(*) AS row FROM sqlite_schema WHERE type IN ('table', 'view') AND name = 'api_keys' COLLATE NOCASE",
}

var postgres = dialect{
	name:        "PostgreSQL",
	exactClient: `k.client_name::text COLLATE "C"`,
	exactOwner:  `o.owner::text COLLATE "C"`,
	rowID:       "id",
	record: `k.id::bigint AS row, k.key_id, k.key_hash::text AS key_hash, k.digest_pepper,
		k.key_prefix, k.client_name, k.client_email, k.owner, k.environment,
		k.permissions::text AS permissions, k.allowed_endpoints::text AS allowed_endpoints,
		k.allowed_networks::text AS allowed_networks, k.rate_window_ms, k.rate_burst, k.scope_type,
		k.metadata_text, k.metadata::text AS metadata, k.is_active::int::bigint AS is_active, k.status,
		k.revoke_reason, k.lineage, k.replaced_by, k.ends_at_first_use, k.lifetime_ms,
		k.derived_from, k.derived_lineage, k.suspended_with, k.version,
		u.lineage AS usage_lineage, u.remaining_uses, u.rate_state, ` +
		// If other code has lowered the limit since, the wider one no longer counts.
		`CASE WHEN k.rate_limit = 2147483647 THEN coalesce(k.rate_limit_wide, k.rate_limit)
		ELSE k.rate_limit END::bigint AS rate_limit, ` +
		millis("k", "created_at last_used_at expires_at revoked_at overlap_until"),
	event:        "number AS row, kind, key_id, reason, successor, version, actor, origin, changes::text AS changes, " + millis("k", "at"),
	is:           "IS NOT DISTINCT FROM",
	isLeft:       "({end} IS NULL OR {end} > to_timestamp($2::bigint / 1000.0::float8))",
	metadata:     []column{{"metadata_text", "bytea"}, {"metadata", "bytea"}, {"rate_limit_wide", "bigint"}},
	spelling:     func(query string) string { return query },
	instant:      func(at time.Time) any { return at },
	flag:         func(flag bool) any { return flag },
	among:        "{column} = ANY (ARRAY(SELECT jsonb_array_elements_text($1::text::jsonb)))",
	plainInstant: func(name string) string { return millis("t", name) },
	// Waits for no one: what another transaction holds, a later one removes.
	oldRequests: "DELETE FROM api_key_issue_requests WHERE ctid = ANY" +
		" (ARRAY(SELECT ctid FROM api_key_issue_requests WHERE at <= $1::timestamptz" +
		" ORDER BY at LIMIT 100 FOR UPDATE SKIP LOCKED))",
	// The schema of the table, as its triggers take it. It need not be the first of the search_path.
	holdDigests: "SELECT keystile_hold_digests((SELECT n.nspname::text FROM pg_catalog.pg_class c" +
		" JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace" +
		" WHERE c.oid = pg_catalog.to_regclass('api_keys')))",
	clock: postgresClock,
	// The isolation level that the statements are written for; a database may have another default.
	begin: []string{"BEGIN ISOLATION LEVEL READ COMMITTED"},
	// In the server's time: what a process has counted is ahead of its own clock by so much,
	// and then the state is as far ahead of the server's. States are unsigned, so the
	// comparisons invert the sign.
	// What was counted is ahead of the arrival of the statement, so that a wait for locked rows
	// makes no state later. What is stored is held by the clock as it is once they are locked:
	// by an earlier one, what another process has written meanwhile would be brought back.
	noteRates: strings.ReplaceAll(`WITH due AS MATERIALIZED (SELECT u.lineage, counted.ahead, counted.burst
			FROM api_key_usage u JOIN (SELECT lineage, max(ahead) AS ahead, max(burst) AS burst
				FROM jsonb_to_recordset($1::text::jsonb) AS c (lineage text, ahead bigint, burst bigint)
				GROUP BY lineage) AS counted ON counted.lineage = u.lineage
			ORDER BY u.lineage FOR NO KEY UPDATE OF u),
		clock AS MATERIALIZED (SELECT `+postgresArrival+` << 20 AS arrival, `+postgresClock+` << 20 AS now
			FROM (SELECT count(*) FROM due) AS locked)
		UPDATE api_key_usage u SET rate_state = {sign} # greatest(arrival + ahead # {sign},
			least(u.rate_state # {sign}, now + burst # {sign}))
		FROM due, clock WHERE u.lineage = due.lineage
		AND u.rate_state # {sign} NOT BETWEEN arrival + ahead # {sign} AND now + burst # {sign}`,
		"{sign}", "(-9223372036854775808)"),
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
	// "kstm" in ASCII, and the schema: programs that start together take turns.
	lock:     "SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(1802728557, hashtext(current_schema()))",
	hasTable: "SELECT CASE WHEN to_regclass('keystile_migrations') IS NULL THEN 0 ELSE 1 END AS row",
	hasKeys:  "SELECT CASE WHEN to_regclass(format('%I.api_keys', current_schema())) IS NULL THEN 0 ELSE 1 END AS row",
}

var parameter = regexp.MustCompile(`\$(\d+)(::[a-z]+)*`)

// records selects records with the usage of their lineages.
func (d *dialect) records() string {
	return "SELECT " + d.record + " FROM api_keys k LEFT JOIN api_key_usage u ON u.lineage = k.lineage "
}

// places returns the place of a row in an order by time: the expression of its index, so that the
// index serves the list.
func (d *dialect) places(sort keystile.Sort) string {
	name := "api_keys_by_end"
	if sort == keystile.SortIssued {
		name = "api_keys_by_issue"
	}
	if known, is := d.spelled.Load(name); is {
		return known.(string)
	}
	file, _ := d.files.ReadFile(d.folder + "/0003_changes.sql")
	_, rest, _ := strings.Cut(string(file), "CREATE INDEX "+name+" ON api_keys (")
	columns, _, _ := strings.Cut(rest, ";")
	expression := strings.TrimSuffix(strings.TrimSuffix(columns, ")"), ", (id + 0)")
	d.spelled.Store(name, expression)
	return expression
}

// spell converts a query to the dialect, only once for each query.
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

// millis selects instants as milliseconds since 1970, rounded down. -1 means infinity,
// which is an invalid value and not "no end".
func millis(table, names string) string {
	var selected []string
	for _, name := range strings.Fields(names) {
		at := table + "." + name
		selected = append(selected, "CASE WHEN "+at+" IS NULL THEN NULL WHEN isfinite("+at+
			") THEN (extract(epoch FROM date_trunc('milliseconds', "+at+")) * 1000)::bigint ELSE -1 END AS "+name)
	}
	return strings.Join(selected, ", ")
}
