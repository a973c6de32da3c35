/* SPDX-License-Identifier: BSD-3-Clause */
/* The options, their limits, defaults and meanings.
 *
 * Names and values are those of multipath.conf(5) and open-iscsi, so that
 * what an administrator knows holds here.  A value which that world knows
 * but which means nothing over iSCSI in user space is taken for the nearest
 * thing that does, with a remark. */
#include <config.h>

#include <string.h>

#include "conf/options.h"
#include "scsi/scsi.h"

static const struct choice digests[] = {
  { "none", DIGEST_NONE, NULL },
  { "none,crc32c", DIGEST_NONE_CRC32C, NULL },
  { "crc32c,none", DIGEST_CRC32C_NONE, NULL },
  { "crc32c", DIGEST_CRC32C, NULL },
  { NULL, 0, NULL },
};

static const struct choice selectors[] = {
  { "round-robin 0", SELECTOR_ROUND_ROBIN, NULL },
  { "queue-length 0", SELECTOR_QUEUE_LENGTH, NULL },
  { "service-time 0", SELECTOR_SERVICE_TIME, NULL },
  { "historical-service-time 0", SELECTOR_SERVICE_TIME,
    "taken as 'service-time 0'" },
  { NULL, 0, NULL },
};

static const struct choice groupings[] = {
  { "multibus", GROUP_MULTIBUS, NULL },
  { "failover", GROUP_FAILOVER, NULL },
  { "group_by_prio", GROUP_BY_PRIO, NULL },
  { "group_by_serial", GROUP_BY_SERIAL, NULL },
  { "group_by_tpg", GROUP_BY_TPG, NULL },
  { "group_by_node_name", GROUP_MULTIBUS,
    "Fibre Channel only; taken as 'multibus'" },
  { NULL, 0, NULL },
};

#define HARDWARE_CHECKER "for hardware that speaks no standard SCSI; taken as 'tur'"
static const struct choice checkers[] = {
  { "tur", CHECKER_TUR, NULL },
  { "directio", CHECKER_DIRECTIO, NULL },
  { "none", CHECKER_NONE, NULL },
  { "readsector0", CHECKER_DIRECTIO, "obsolete: today's spelling is 'directio'" },
  { "emc_clariion", CHECKER_TUR, HARDWARE_CHECKER },
  { "hp_sw", CHECKER_TUR, HARDWARE_CHECKER },
  { "rdac", CHECKER_TUR, HARDWARE_CHECKER },
  { "cciss_tur", CHECKER_TUR, HARDWARE_CHECKER },
  { "hp_tur", CHECKER_TUR, HARDWARE_CHECKER },
  { NULL, 0, NULL },
};

#define HARDWARE_PRIO "not available here; taken as 'const'"
static const struct choice prios[] = {
  { "const", PRIO_CONST, NULL },
  { "alua", PRIO_ALUA, NULL },
  { "sysfs", PRIO_ALUA, NULL }, /* reads ALUA's states, only elsewhere */
  { "weightedpath", PRIO_WEIGHTEDPATH, NULL },
  { "none", PRIO_CONST, NULL },
  { "emc", PRIO_CONST, HARDWARE_PRIO },
  { "ontap", PRIO_CONST, HARDWARE_PRIO },
  { "rdac", PRIO_CONST, HARDWARE_PRIO },
  { "hp_sw", PRIO_CONST, HARDWARE_PRIO },
  { "hds", PRIO_CONST, HARDWARE_PRIO },
  { "random", PRIO_CONST, HARDWARE_PRIO },
  { "path_latency", PRIO_CONST, HARDWARE_PRIO },
  { "ana", PRIO_CONST, HARDWARE_PRIO },
  { "datacore", PRIO_CONST, HARDWARE_PRIO },
  { "iet", PRIO_CONST, HARDWARE_PRIO },
  { "netapp", PRIO_CONST, HARDWARE_PRIO },
  { "hds_modular", PRIO_CONST, HARDWARE_PRIO },
  { "tpc", PRIO_CONST, HARDWARE_PRIO },
  { "balance_units", PRIO_CONST, HARDWARE_PRIO },
  { NULL, 0, NULL },
};

static const struct choice socket_modes[] = {
  { "0600", 0600, NULL },
  { "0660", 0660, NULL },
  { "0666", 0666, NULL },
  { "600", 0600, "is 0600 (octal)" },
  { "660", 0660, "is 0660 (octal)" },
  { "666", 0666, "is 0666 (octal)" },
  { NULL, 0, NULL },
};

static const struct choice affinities[] = {
  { "auto", AFFINITY_AUTO, NULL },
  { "off", AFFINITY_OFF, NULL },
  { "on", AFFINITY_ON, NULL },
  { "none", AFFINITY_OFF, NULL },
  { NULL, 0, NULL },
};

static const struct choice without_states[] = {
  { "deny", WITHOUT_STATE_DENY, NULL },
  { "allow", WITHOUT_STATE_ALLOW, NULL },
  { NULL, 0, NULL },
};

#define NO_SHORTCUT "does nothing any more: `mpiscsi serve` needs no shortcut"
static const struct choice shortcuts[] = {
  { "on", true, NO_SHORTCUT },
  { "off", false, NO_SHORTCUT },
  { "yes", true, NO_SHORTCUT },
  { "no", false, NO_SHORTCUT },
  { "true", true, NO_SHORTCUT },
  { "false", false, NO_SHORTCUT },
  { "1", true, NO_SHORTCUT },
  { "0", false, NO_SHORTCUT },
  { NULL, 0, NULL },
};

static const struct choice fences[] = {
  { "auto", FENCING_AUTO, NULL },
  { "reinstate", FENCING_REINSTATE, NULL },
  { "lun-reset", FENCING_LUN_RESET, NULL },
  { "hold", FENCING_HOLD, NULL },
  { "off", FENCING_OFF, NULL },
  { NULL, 0, NULL },
};

static const struct choice weights[] = {
  { "uniform", false, NULL },
  { "priorities", true, NULL },
  { NULL, 0, NULL },
};

#define DAY 86400.0
#define WWID_MAX (WWID_SIZE - 1)
#define P IN_PARAMETERS
/* multipath.conf takes some of these in fewer places; there is no reason to. */
#define MAPS (IN_PARAMETERS | IN_DEFAULTS | IN_DEVICE | IN_OVERRIDES | IN_MULTIPATH)
#define S(field) offsetof (struct settings, field), false
#define M(field) offsetof (struct map_settings, field), true

const struct option options[] = {
  { "portals", OPTION_PORTALS, 0, 0, 0, false, P | IN_ISCSI, NULL, "(required)",
    "portals of the target, ADDRESS[:PORT], separated by commas; may be repeated" },
  { "discovery", OPTION_BOOL, 0, 0, S (discovery), P | IN_ISCSI, NULL, "on",
    "ask the portals for the targets and for their other portals (SendTargets)" },
  { "target", OPTION_NAME, 0, 0, S (target), P | IN_ISCSI, NULL, "(all)",
    "name of the target" },
  { "lun", OPTION_LUN, 0, 16383, S (lun), P | IN_ISCSI, NULL, "(all)",
    "number of the LUN" },
  { "wwid", OPTION_STRING, 0, WWID_MAX, S (wwid), P | IN_ISCSI, NULL, "(all)",
    "WWID of the LUN, as scsi_id prints it" },
  { "initiator_name", OPTION_OWN_NAME, 0, 0, S (initiator_name), P | IN_ISCSI, NULL,
    "($MPISCSI_INITIATOR_NAME, else InitiatorName of /etc/iscsi/initiatorname.iscsi, "
    "else a generated one)", "our own iSCSI name, or +FILE which has a line InitiatorName=" },
  { "user", OPTION_USER, 0, 0, S (user), P | IN_ISCSI, NULL, "(no CHAP)",
    "CHAP name with which we log in" },
  { "password", OPTION_SECRET, 0, 0, S (password), P | IN_ISCSI, NULL, "(none)",
    "CHAP secret that goes with it" },
  { "mutual_user", OPTION_USER, 0, 0, S (mutual_user), P | IN_ISCSI, NULL,
    "(the target need not prove itself)",
    "CHAP name that the target must answer with" },
  { "mutual_password", OPTION_SECRET, 0, 0, S (mutual_password), P | IN_ISCSI,
    NULL, "(none)", "CHAP secret that the target must know" },
  { "header_digest", OPTION_CHOICE, 0, 0, S (header_digest), P | IN_ISCSI,
    digests, "none,crc32c", "CRC of the PDU headers, in order of preference" },
  { "data_digest", OPTION_CHOICE, 0, 0, S (data_digest), P | IN_ISCSI,
    digests, "none,crc32c", "CRC of the data, in order of preference" },
  { "nr_sessions", OPTION_COUNT, 1, 32, S (nr_sessions), P | IN_ISCSI, NULL,
    "1", "sessions to each portal of a target" },
  { "queue_depth", OPTION_COUNT, 1, 1024, S (queue_depth), P | IN_ISCSI, NULL,
    "64", "commands in flight per session" },
  { "noop_out_interval", OPTION_PAUSE, 0, DAY, S (noop_out_interval),
    P | IN_ISCSI, NULL, "1", "seconds of silence on a session before a ping; 0 for no pings" },
  { "noop_out_timeout", OPTION_SECONDS, 0.1, DAY, S (noop_out_timeout),
    P | IN_ISCSI, NULL, "2", "seconds to wait for the answer to a ping" },
  { "login_timeout", OPTION_SECONDS, 0.1, 3600, S (login_timeout),
    P | IN_ISCSI, NULL, "5", "seconds for connecting and logging in" },
  { "command_timeout", OPTION_SECONDS, 0.1, DAY, S (command_timeout),
    P | IN_ISCSI, NULL, "60", "seconds after which a SCSI command is given up" },
  { "alua_transition_timeout", OPTION_SECONDS, 0.1, DAY,
    S (alua_transition_timeout), P | IN_ISCSI, NULL, "60",
    "seconds that I/O waits for an array whose port groups are all in standby, "
    "unavailable or in transition, where the array itself gives no time" },
  { "cpu_affinity", OPTION_CHOICE, 0, 0, S (cpu_affinity), P | IN_ISCSI,
    affinities, "auto", "keep all threads on one CPU, where waking one on "
    "another is expensive: on, off, or auto: on with 2 to 4 CPUs" },
  { "shortcut", OPTION_BOOL, 0, 0, S (shortcut), P | IN_ISCSI, shortcuts, "on",
    "taken, and without effect" },
  { "guard", OPTION_BOOL, 0, 0, S (guard), P | IN_ISCSI, NULL, "on",
    "do not start with a libiscsi that cannot be guarded against targets that break "
    "the protocol" },
  { "fence", OPTION_CHOICE, 0, 0, S (fence), P | IN_ISCSI, fences, "auto",
    "how unanswered writes of a lost session are kept from coming late: auto "
    "(reinstate, then lun-reset), reinstate, lun-reset, hold or off" },
  { "fence_timeout", OPTION_SECONDS, 0.1, DAY, S (fence_timeout),
    P | IN_ISCSI, NULL, "30",
    "seconds after which overlapping writes no longer wait for that" },
  { "fence_without_state", OPTION_CHOICE, 0, 0, S (fence_without_state),
    P | IN_ISCSI, without_states, "deny",
    "writes while the state directory cannot be written, so that the next "
    "server could not fence them after a kill: deny (they fail) or allow" },
  { "fence_across_targets", OPTION_BOOL, 0, 0, S (fence_across_targets),
    P | IN_ISCSI, NULL, "no",
    "a LOGICAL UNIT RESET through one target is good for what another one has: "
    "only if all targets of a LUN are one array" },
  { "replacement_timeout", OPTION_TMO, -1, 30 * DAY, S (replacement_timeout),
    P | IN_ISCSI, NULL, "(fast_io_fail_tmo)",
    "open-iscsi's name for fast_io_fail_tmo, which wins when both are given" },
  { "control", OPTION_SOCKET, 0, 0, S (control), P | IN_ISCSI, NULL,
    "(below the runtime directory)", "control socket; none for no socket" },
  { "control_mode", OPTION_CHOICE, 0, 0, S (control_mode), P | IN_ISCSI,
    socket_modes, "0600", "who may use the control socket: 0600, 0660 or 0666" },
  { "control_group", OPTION_STRING, 0, 255, S (control_group), P | IN_ISCSI, NULL,
    "(that of the server)", "group of the control socket, by name or number" },
  { "metrics_listen", OPTION_STRING, 0, 253, S (metrics_listen), P | IN_ISCSI,
    NULL, "(none)", "ADDRESS:PORT or Unix socket for GET /metrics (OpenMetrics)" },
  { "bindings_file", OPTION_PATH, 0, 0, S (bindings_file), P | IN_ISCSI, NULL,
    "(in the state directory)", "where user_friendly_names are kept" },
  { "config", OPTION_PATH, 0, 0, S (config_file), P, NULL, "(none)",
    "configuration file, in the grammar of multipath.conf" },
  { "polling_interval", OPTION_SECONDS, 0.1, DAY, S (polling_interval),
    P | IN_DEFAULTS, NULL, "5", "seconds between two checks of a path" },
  { "max_polling_interval", OPTION_SECONDS, 0.1, DAY, S (max_polling_interval),
    P | IN_DEFAULTS, NULL, "(4 * polling_interval)",
    "the interval grows up to this while a path is well" },

  { "path_selector", OPTION_CHOICE, 0, 0, M (path_selector), MAPS, selectors,
    "\"round-robin 0\"", "which path of the group takes the next I/O" },
  { "path_grouping_policy", OPTION_CHOICE, 0, 0, M (path_grouping_policy), MAPS,
    groupings, "multibus", "how paths are put in groups" },
  { "path_checker", OPTION_CHOICE, 0, 0, M (path_checker), MAPS, checkers,
    "tur", "how a path is checked" },
  { "prio", OPTION_CHOICE, 0, 0, M (prio), MAPS, prios, "const",
    "where the priority of a path comes from" },
  { "prio_args", OPTION_STRING, 0, 4096, M (prio_args), MAPS, NULL, "(none)",
    "arguments of prio weightedpath; of alua: exclusive_pref_bit" },
  { "detect_prio", OPTION_BOOL, 0, 0, M (detect_prio), MAPS, NULL, "yes",
    "prio alua, whatever prio says, where the LUN supports it (TPGS)" },
  { "detect_pgpolicy", OPTION_BOOL, 0, 0, M (detect_pgpolicy), MAPS, NULL,
    "yes", "group_by_prio, whatever path_grouping_policy says, where all paths "
    "have prio alua" },
  { "detect_checker", OPTION_BOOL, 0, 0, M (detect_checker), MAPS, NULL, "yes",
    "tur for a LUN with ALUA, whatever path_checker says" },
  { "rr_min_io", OPTION_COUNT, 1, 1000000, M (rr_min_io), MAPS, NULL, "4",
    "I/Os sent to a path before round-robin takes the next (also: rr_min_io_rq)" },
  { "rr_weight", OPTION_BOOL, 0, 0, M (rr_weight_priorities), MAPS, weights,
    "uniform", "priorities: rr_min_io times the priority of the path" },
  { "io_weight", OPTION_COUNT, 1, 10000, M (io_weight), MAPS, NULL, "100",
    "this LUN's share of a session's queue_depth where several want more" },
  { "failback", OPTION_FAILBACK, 0, DAY, M (failback), MAPS, NULL,
    "(manual; immediate with asymmetric access)",
    "going back to a better path group: immediate, manual, followover (when it "
    "had no path left), or seconds to wait" },
  { "no_path_retry", OPTION_RETRY, 0, 1000000, M (no_path_retry), MAPS, NULL,
    "fail", "with no path left: fail, queue, or polling intervals to queue" },
  { "fast_io_fail_tmo", OPTION_TMO, 0, 30 * DAY, M (fast_io_fail_tmo),
    MAPS | IN_PROTOCOL, NULL, "5",
    "seconds that I/O waits for a lost last session; off for no limit" },
  { "dev_loss_tmo", OPTION_TMO, 0, 4294967295.0, M (dev_loss_tmo),
    MAPS | IN_PROTOCOL, NULL, "off",
    "seconds after which a lost path is removed; off or infinity for never" },
  { "hedged_reads", OPTION_BOOL, 0, 0, M (hedged_reads), MAPS, NULL, "off",
    "send a read that is late on its path on another path as well" },
  { "trust_wwid", OPTION_BOOL, 0, 0, M (trust_wwid), MAPS, NULL, "no",
    "LUNs at targets of different names are one disk by their WWID also where "
    "it is made up (company id 000000, tgt's default)" },
  { "user_friendly_names", OPTION_BOOL, 0, 0, M (user_friendly_names), MAPS,
    NULL, "no", "name maps mpatha, mpathb ... when they have no alias" },
  { "reservation_key", OPTION_KEY, 0, 0, M (reservation_key),
    IN_PARAMETERS | IN_DEFAULTS | IN_MULTIPATH, NULL, "(none)",
    "persistent reservation key that each path is registered with, in hex" },
  { "alias_prefix", OPTION_ALIAS, 0, 0, M (alias_prefix), MAPS, NULL, "mpath",
    "what those names begin with" },
  { "alias", OPTION_ALIAS, 0, 0, M (alias), IN_MULTIPATH, NULL, "(none)",
    "name of this map" },
  { "san_path_err_threshold", OPTION_INT, 0, 1000000, M (san_path_err_threshold),
    MAPS, NULL, "no", "failures after which a path is put aside" },
  { "san_path_err_forget_rate", OPTION_INT, 0, 1000000,
    M (san_path_err_forget_rate), MAPS, NULL, "no",
    "checks within which those failures count" },
  { "san_path_err_recovery_time", OPTION_INT, 0, 1000000,
    M (san_path_err_recovery_time), MAPS, NULL, "no",
    "seconds that it is put aside for" },
  { "marginal_path_err_sample_time", OPTION_PAUSE, 0, DAY,
    M (marginal_path_err_sample_time), MAPS, NULL, "no",
    "seconds over which the error rate of a doubtful path is measured" },
  { "marginal_path_err_rate_threshold", OPTION_INT, 0, 1000,
    M (marginal_path_err_rate_threshold), MAPS, NULL, "no",
    "errors per 1000 I/Os above which it is put aside" },
  { "marginal_path_err_recheck_gap_time", OPTION_PAUSE, 0, DAY,
    M (marginal_path_err_recheck_gap_time), MAPS, NULL, "no",
    "seconds after which it is measured again" },
  { "marginal_path_double_failed_time", OPTION_PAUSE, 0, DAY,
    M (marginal_path_double_failed_time), MAPS, NULL, "no",
    "two failures within these seconds make a path doubtful" },
  { NULL, 0, 0, 0, 0, false, 0, NULL, NULL, NULL },
};
_Static_assert (sizeof options / sizeof options[0] <= 65,
                "given options are bits of 64");

/* Other names that are as good. */
static const struct { const char *other, *name; } others[] = {
  { "portal", "portals" },
  { "rr_min_io_rq", "rr_min_io" },
  { "ipaddr", "address" },
};

static bool
same (const char *a, const char *b)
{
  for (; *a && *b; ++a, ++b)
    if (*a != *b && !(*a == '-' && *b == '_'))
      return false;
  return *a == *b;
}

const struct option *
option_find (const struct option *table, const char *name, unsigned where)
{
  for (size_t i = 0; i < sizeof others / sizeof others[0]; ++i)
    if (same (name, others[i].other)) {
      name = others[i].name;
      break;
    }
  for (const struct option *o = table; o->name; ++o)
    if ((o->where & where) && same (name, o->name))
      return o;
  return NULL;
}

uint64_t
option_bit (const struct option *table, const struct option *option)
{
  return UINT64_C (1) << (option - table);
}

void *
option_field (const struct option *option, struct settings *s)
{
  return option->map ? option_map_field (option, &s->defaults)
    : (void *) ((char *) s + option->offset);
}

void *
option_map_field (const struct option *option, struct map_settings *m)
{
  return (char *) m + option->offset;
}
