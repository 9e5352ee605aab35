// Owns which of PostgreSQL's own functions and catalogue relations a statement may reach. Functions: immutable and
// stable ones less a deny list, volatile ones only from a short list. Relations: what drivers, psql and ORMs read.

/** Volatile functions that change nothing and tell nothing about others. */
const VOLATILE_ALLOWED: ReadonlySet<string> = new Set([
  'bernoulli',
  'system',
  'clock_timestamp',
  'gen_random_uuid',
  'uuidv4',
  'uuidv7',
  'lastval',
  'currval',
  'pg_advisory_unlock',
  'pg_advisory_unlock_all',
  'pg_advisory_unlock_shared',
  'pg_collation_actual_version',
  'pg_database_collation_actual_version',
  'pg_database_size',
  'pg_indexes_size',
  'pg_is_in_recovery',
  'pg_jit_available',
  'pg_partition_ancestors',
  'pg_partition_tree',
  'pg_relation_size',
  'pg_sleep',
  'pg_sleep_for',
  'pg_sleep_until',
  'pg_table_size',
  'pg_total_relation_size',
  'pg_timezone_names',
  'random',
  'random_normal',
  'setseed',
  'timeofday',
])

/** Stable or immutable functions that run SQL text, read files, settings of the server or other sessions' work. */
const DENIED: ReadonlySet<string> = new Set([
  'pg_config',
  'pg_cursor',
  'pg_get_replication_slots',
  'pg_hba_file_rules',
  'pg_listening_channels',
  'pg_mcv_list_items',
  'pg_options_to_table',
  'pg_prepared_statement',
  'pg_prepared_xact',
  'pg_replication_origin_oid',
  'pg_show_all_file_settings',
  'pg_show_all_settings',
  'pg_tablespace_databases',
  'pg_tablespace_location',
  'pg_relation_filepath',
  'pg_filenode_relation',
  'nextval',
  'setval',
  'current_query',
])

const DENIED_PATTERN =
  /_to_xml(?:schema|_and_xmlschema)?$|^pg_stat_|^lo_|^lo(?:read|write)$|^pg_(?:read|ls|logical|replication|wal|control|backup|event_trigger)_|^binary_upgrade_|^pg_get_(?:wal|backend|shmem|multixact)/

/** True when an in-built function may be called: by name and volatility (i, s, v). */
export function allowsBuiltIn(name: string, volatility: string): boolean {
  if (volatility === 'v') return VOLATILE_ALLOWED.has(name)
  return !DENIED.has(name) && !DENIED_PATTERN.test(name)
}

/** True for what takes an advisory lock, or tries to; it is never the release of one. */
export function isAdvisoryLock(name: string): boolean {
  return /^pg_(?:try_)?advisory_(?:xact_)?lock(?:_shared)?$/.test(name)
}

/** Aggregates whose value does not hold its rows' values, or one of them only. All others gather. */
export const SCALAR_AGGREGATES: ReadonlySet<string> = new Set(
  `count sum avg min max bool_and bool_or every bit_and bit_or bit_xor any_value stddev stddev_pop stddev_samp variance
var_pop var_samp corr covar_pop covar_samp regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx
regr_sxy regr_syy mode percentile_cont percentile_disc rank dense_rank percent_rank cume_dist range_intersect_agg`.split(
    /\s+/,
  ),
)

/** Catalogue relations that hold structure, not values, passwords or other people's statements. */
const CATALOGUE_RELATIONS: ReadonlySet<string> = new Set(
  `pg_aggregate pg_am pg_amop pg_amproc pg_attrdef pg_attribute pg_auth_members pg_available_extension_versions
pg_available_extensions pg_cast pg_class pg_collation pg_constraint pg_conversion pg_database pg_default_acl pg_depend
pg_description pg_enum pg_event_trigger pg_extension pg_foreign_data_wrapper pg_foreign_table pg_group pg_index
pg_indexes pg_inherits pg_init_privs pg_language pg_matviews pg_namespace pg_opclass pg_operator pg_opfamily
pg_partitioned_table pg_policies pg_policy pg_proc pg_publication pg_publication_namespace pg_publication_rel
pg_publication_tables pg_range pg_rewrite pg_roles pg_rules pg_seclabel pg_seclabels pg_sequence pg_sequences
pg_settings pg_shdepend pg_shdescription pg_statistic_ext pg_tables pg_tablespace pg_timezone_abbrevs
pg_timezone_names pg_transform pg_trigger pg_ts_config pg_ts_config_map pg_ts_dict pg_ts_parser pg_ts_template
pg_type pg_user pg_views`.split(/\s+/),
)

/** True when a relation of pg_catalog or information_schema may be read. */
export function allowsCatalogueRelation(schema: string, name: string): boolean {
  if (schema === 'information_schema') {
    return !/user_mapping|foreign_server|foreign_data_wrapper|foreign_table_options|_pg_/.test(name)
  }
  return CATALOGUE_RELATIONS.has(name)
}

/** Types of pg_catalog in which a constant compares with a key exactly: it names at most one. */
export const EXACT_TYPES: ReadonlySet<string> = new Set([
  'int2',
  'int4',
  'int8',
  'numeric',
  'text',
  'varchar',
  'uuid',
  'bool',
  'date',
  'timestamp',
  'timestamptz',
  'bytea',
])
