/* What the administrator can say: portals, targets, secrets, and the options
 * of multipath.conf.
 *
 * Pure: no nbdkit, libev or libiscsi here.  Written by one thread before the
 * engine starts (or by `reconfigure`, into a new object); read-only after.
 * All times are seconds, as double; "fractions of seconds are taken".
 */
#ifndef MPISCSI_SETTINGS_H
#define MPISCSI_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ISCSI_PORT 3260
#define ISCSI_NAME_SIZE 224     /* RFC 7143 4.2.7.1: 223 bytes and the NUL */

/* portal.c: "10.0.0.1", "10.0.0.1:3260", "[fe80::1%eth0]:3260", "host:3260",
 * and with ",tpgt" behind as SendTargets gives it. */
struct portal {
  char host[256];               /* name or address, without brackets */
  uint16_t port;
  int tpgt;                     /* portal group tag; -1 unknown */
};
/* false: *why (static text) says what is wrong with it. */
extern bool portal_parse (const char *str, size_t len, struct portal *portal,
                          const char **why);
/* "10.0.0.1:3260", "[fe80::1]:3260".  Returns buf. */
extern const char *portal_text (const struct portal *portal,
                                char *buf, size_t size);
extern bool portal_equal (const struct portal *a, const struct portal *b);
/* A link-local address without the zone (RFC 4007) that it means nothing
 * without; and giving it the one of FROM, a host or "[ip%zone]:port". */
extern bool portal_needs_zone (const struct portal *portal);
extern bool portal_take_zone (struct portal *portal, const char *from);
/* Can it be used as a name at all?  NULL if so, else what is wrong (static
 * text). */
extern const char *iscsi_name_wrong (const char *name);
/* RFC 7143 4.2.7: "iqn.", "eui." or "naa." form.  There are products that do
 * not care.  NULL if good, else what is odd (static text). */
extern const char *iscsi_name_odd (const char *name);

enum header_digest {            /* as libiscsi orders preferences */
  DIGEST_NONE, DIGEST_NONE_CRC32C, DIGEST_CRC32C_NONE, DIGEST_CRC32C,
};
enum selector_kind {
  SELECTOR_ROUND_ROBIN, SELECTOR_QUEUE_LENGTH, SELECTOR_SERVICE_TIME,
};
enum grouping {
  GROUP_MULTIBUS, GROUP_FAILOVER, GROUP_BY_PRIO, GROUP_BY_SERIAL, GROUP_BY_TPG,
};
enum checker_kind { CHECKER_TUR, CHECKER_DIRECTIO, CHECKER_NONE };
enum fencing {                  /* see fence.h */
  FENCING_AUTO,                 /* reinstatement, then LOGICAL UNIT RESET */
  FENCING_REINSTATE, FENCING_LUN_RESET, FENCING_HOLD, FENCING_OFF,
  NR_FENCINGS
};
/* What becomes of writes while the nexus state file cannot be written. */
enum without_state { WITHOUT_STATE_DENY, WITHOUT_STATE_ALLOW };
enum affinity { AFFINITY_AUTO, AFFINITY_OFF, AFFINITY_ON };
enum prio_kind { PRIO_CONST, PRIO_ALUA, PRIO_WEIGHTEDPATH };

#define NO_PATH_RETRY_FAIL 0    /* else > 0: polling intervals to queue */
#define NO_PATH_RETRY_QUEUE (-1)
#define FAILBACK_IMMEDIATE 0    /* else > 0: seconds to wait */
#define FAILBACK_MANUAL (-1)
#define FAILBACK_FOLLOWOVER (-2)        /* only when a group had no path left */
#define TMO_OFF (-1.0)

/* The options that may differ from map to map.  Defaults in settings.c. */
struct map_settings {
  enum grouping path_grouping_policy;   /* multibus */
  enum selector_kind path_selector;     /* "round-robin 0" */
  enum checker_kind path_checker;       /* tur */
  enum prio_kind prio;                  /* const */
  char *prio_args;                      /* NULL if none */
  bool detect_checker;                  /* yes: tur where the LUN has ALUA */
  bool detect_prio;                     /* yes: alua where the LUN has it */
  bool detect_pgpolicy;                 /* yes: then group_by_prio */
  unsigned rr_min_io;                   /* I/Os before the next path; 4 */
  bool rr_weight_priorities;            /* rr_weight priorities: times prio */
  unsigned io_weight;                   /* turns.h; 100 */
  int failback;                         /* manual */
  int no_path_retry;                    /* fail */
  double fast_io_fail_tmo;              /* 5; TMO_OFF */
  double dev_loss_tmo;                  /* TMO_OFF */
  bool hedged_reads;                    /* off */
  bool user_friendly_names;             /* no */
  bool trust_wwid;                      /* no */
  char *reservation_key;                /* NULL if none; reservation_key_parse */
  char *alias_prefix;                   /* "mpath" */
  char *alias;                          /* NULL if none; only from multipaths {} */
  int san_path_err_threshold, san_path_err_forget_rate,
    san_path_err_recovery_time;         /* 0 = off */
  double marginal_path_err_sample_time;
  int marginal_path_err_rate_threshold;
  double marginal_path_err_recheck_gap_time, marginal_path_double_failed_time;
  /* Of a map, by conf_resolve: what was set anywhere; bits of options.h. */
  uint64_t given;
};

struct settings {
  /* Portals as given; never discovered ones. */
  struct portal *portals;
  size_t nr_portals;
  bool discovery;                       /* true */
  char *target;                         /* NULL: all that discovery finds */
  int lun;                              /* -1: all */
  char *wwid;                           /* NULL: all */
  char *initiator_name;                 /* NULL: from the system, see settings.c */
  char *user, *password;                /* CHAP: we prove ourselves */
  char *mutual_user, *mutual_password;  /* CHAP: the target proves itself */
  enum header_digest header_digest;     /* none_crc32c */
  enum header_digest data_digest;       /* none_crc32c */

  unsigned nr_sessions;                 /* to each portal; 1 */
  unsigned queue_depth;                 /* commands in flight per session; 64 */
  double polling_interval;              /* 5 */
  double max_polling_interval;          /* 4 * polling_interval */
  double noop_out_interval;             /* silence on a session before a ping; 1 */
  double noop_out_timeout;              /* 2 */
  double login_timeout;                 /* connect + login; 5 */
  double command_timeout;               /* 60 */
  double alua_transition_timeout;       /* where the array says none; 60 */
  enum affinity cpu_affinity;           /* auto */
  bool shortcut;                        /* taken, and without effect */
  enum fencing fence;                   /* auto */
  double fence_timeout;                 /* 30 */
  enum without_state fence_without_state; /* deny */
  bool fence_across_targets;            /* no */
  double replacement_timeout;           /* accepted; see settings.c */

  char *config_file;                    /* NULL if none was read */
  char *control;                        /* control socket; NULL default, "" none */
  char *metrics_listen;                 /* metrics-http.h; NULL: nowhere */
  bool guard;                           /* needed? */
  unsigned control_mode;                /* of its file */
  char *control_group;                  /* NULL: as it comes */

  char *bindings_file;                  /* of user_friendly_names; NULL default */

  struct map_settings defaults;         /* what maps start from */
  struct conf *conf;                    /* sections of config=FILE, NULL if none */

  /* Which options were given, by their number in the table (options.h): they
   * win over those of the file. */
  uint64_t given;

  /* Called by settings_set and settings_check with one line for each thing
   * that is accepted but should be known; NULL: nobody listens. */
  void (*warn) (void *opaque, const char *text);
  void *warn_opaque;
};

/* settings.c.  All fill err (one line, no newline) and return -1 on failure. */
#define ERR_SIZE 1024
extern struct settings *settings_new (void);            /* NULL: no memory */
extern void settings_free (struct settings *s);         /* wipes secrets; NULL ok */
/* One key=value as given on nbdkit's command line.  '-' and '_' are equal in
 * keys.  An unknown key names the nearest one that exists. */
extern int settings_set (struct settings *s, const char *key,
                         const char *value, char err[ERR_SIZE]);
/* After the last one: reads config=FILE, if any, takes from it what was not
 * given by settings_set, then says what contradicts what and what is
 * missing.  May be called once. */
extern int settings_check (struct settings *s, char err[ERR_SIZE]);

/* values.c: "0x123abc" or "123abc", with ":aptpl" behind if the registration
 * is to survive a power loss of the target.  false: not a key.  key and aptpl
 * may be NULL. */
extern bool reservation_key_parse (const char *text, uint64_t *key,
                                   bool *aptpl);

/* initiator.c: the name we log in with when none was given.
 *
 * 1. the first good InitiatorName= line of PATH (NULL:
 *    /etc/iscsi/initiatorname.iscsi): targets that know this host under its
 *    kernel initiator's name let us in as well;
 * 2. else iqn.2026-11.org.mpiscsi:<12 hex>, made of /etc/machine-id (hashed:
 *    machine-id(5) asks not to show it to the network);
 * 3. else the same, made of the host name.
 * Each is stable over restarts.  Always gives a name.  REMARK: a line to be
 * said, of a file that cannot be read, or has a name that is not in RFC form, in
 * quotes or behind a byte order mark; "" if there is none. */
extern void settings_default_initiator (const char *path,
                                        char buf[ISCSI_NAME_SIZE],
                                        char remark[ERR_SIZE]);
/* The first good InitiatorName= line of PATH.  *remark (static text): what is odd
 * about it, NULL if nothing; or, false, why there is none. */
extern bool initiator_from_file (const char *path, char buf[ISCSI_NAME_SIZE],
                                 const char **remark);
/* Comes before all of these, for pods: it can be made of the pod's name. */
#define INITIATOR_VARIABLE "MPISCSI_INITIATOR_NAME"

#endif /* MPISCSI_SETTINGS_H */
