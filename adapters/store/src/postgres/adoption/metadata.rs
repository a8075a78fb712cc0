//! The endpoint rules that an application keeps in the metadata of its keys, as SQL: the rows
//! of an adoption and those that come later are read by the same expression.

use deadpool_postgres::GenericClient;

use crate::adoption::{METADATA_ENDPOINTS, MetadataEndpoints};
use crate::postgres::fault::Fault;

/// The template's name in the metadata, if it is a valid one.
pub(in crate::postgres) const SCOPE_TYPE: &str =
    "substring(metadata->>'scopeType' FROM '^[a-z][a-z0-9_-]{0,31}$')";

/// The endpoint rules in this column; NULL only if there are none. A text in JSON, which may be
/// an object that was written twice, is no list of rules: a key with it is refused.
pub(in crate::postgres) fn rules(column: &str) -> String {
    format!(
        "CASE WHEN jsonb_typeof({column}) = 'string' THEN '\"text\"'::jsonb \
         ELSE nullif({column}->'{METADATA_ENDPOINTS}', 'null') END"
    )
}

/// Whether the triggers of [`keep`] are there, or are not, as this choice needs it.
pub(in crate::postgres) async fn are_kept(
    client: &impl GenericClient,
    endpoints: MetadataEndpoints,
) -> Result<bool, Fault> {
    let sql = "SELECT count(*) = 2, count(*) = 0 FROM pg_trigger
        WHERE tgrelid = 'api_keys'::regclass
            AND tgname IN ('api_keys_endpoints_inserted', 'api_keys_endpoints_changed')";
    let found = client.query_one(sql, &[]).await?;
    Ok(match endpoints {
        MetadataEndpoints::Ignore => found.try_get(1)?,
        _ => found.try_get(0)?,
    })
}

/// The triggers that treat what old code writes later as the adoption treats its rows. Only
/// if rules are ignored there are none.
///
/// Old code inserts without a key_id, and changes metadata without the version. If the rules
/// were set otherwise since, its changes do not undo that. The names come before those of the
/// other triggers, which thus see the rules.
pub(in crate::postgres) fn keep(endpoints: MetadataEndpoints) -> String {
    let mut sql = "DROP TRIGGER IF EXISTS api_keys_endpoints_inserted ON api_keys;
        DROP TRIGGER IF EXISTS api_keys_endpoints_changed ON api_keys;
        DROP FUNCTION IF EXISTS keystile_copy_endpoints()"
        .to_owned();
    if endpoints != MetadataEndpoints::Ignore {
        let [old, new] = ["OLD.metadata", "NEW.metadata"].map(rules);
        let scope_type = SCOPE_TYPE.replace("metadata", "NEW.metadata");
        sql.push_str(&format!(
            ";
            CREATE FUNCTION keystile_copy_endpoints() RETURNS TRIGGER
            LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
            DECLARE
                rules JSONB := {new};
            BEGIN
                IF TG_OP = 'INSERT' THEN
                    NEW.allowed_endpoints := rules;
                    IF rules IS NOT NULL THEN
                        NEW.scope_type := coalesce(NEW.scope_type, {scope_type});
                    END IF;
                ELSIF OLD.allowed_endpoints IS NOT DISTINCT FROM ({old}) THEN
                    NEW.allowed_endpoints := rules;
                END IF;
                RETURN NEW;
            END
            $$;
            CREATE TRIGGER api_keys_endpoints_inserted BEFORE INSERT ON api_keys
            FOR EACH ROW WHEN (NEW.key_id IS NULL AND NEW.allowed_endpoints IS NULL)
            EXECUTE FUNCTION keystile_copy_endpoints();
            CREATE TRIGGER api_keys_endpoints_changed BEFORE UPDATE ON api_keys
            FOR EACH ROW WHEN (OLD.key_id IS NOT NULL AND NEW.version = OLD.version
                AND NEW.metadata IS DISTINCT FROM OLD.metadata
                AND NEW.allowed_endpoints IS NOT DISTINCT FROM OLD.allowed_endpoints)
            EXECUTE FUNCTION keystile_copy_endpoints();
            ALTER TABLE api_keys ENABLE ALWAYS TRIGGER api_keys_endpoints_inserted,
                ENABLE ALWAYS TRIGGER api_keys_endpoints_changed"
        ));
    }
    sql
}
