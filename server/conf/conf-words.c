/* SPDX-License-Identifier: BSD-3-Clause */
/* Words of multipath.conf, from 2005 to 0.10, that set nothing of their own
 * here.  A file that has them is taken as it is, with one warning for each. */
#include <config.h>

#include <string.h>

#include "conf/conf-internal.h"

#define D IN_DEFAULTS
#define V IN_DEVICE
#define O IN_OVERRIDES
#define M IN_MULTIPATH
#define DVO (D | V | O)
#define ALL (D | V | O | M)

#define DAEMON "there is no multipathd"
#define UDEV "LUNs are found by logging in, not through udev"
#define MAPPER "there is no device mapper and no block device"
#define KERNEL "the kernel's SCSI layer is not used"
#define RESERVE "mpiscsi registers no reservation keys"
#define ALWAYS "this is always done here"
#define GONE "multipath-tools dropped it as well"
#define OLD NULL                /* the text is made of `today` */

const struct conf_word conf_words[] = {
  /* Old spellings that still act. */
  { "selector", ALL, "path_selector", OLD },
  { "default_selector", D, "path_selector", OLD },
  { "default_path_grouping_policy", D, "path_grouping_policy", OLD },
  { "default_path_checker", D, "path_checker", OLD },
  { "default_prio", D, "prio", OLD },
  { "checker", ALL, "path_checker", OLD },
  { "user_friendly_name", ALL, "user_friendly_names", OLD },
  { "prio_callout", ALL, "prio", OLD },
  { "default_prio_callout", D, "prio", OLD },

  /* Old ones that do not. */
  { "getuid_callout", ALL, NULL,
    "obsolete: today's spelling is 'uid_attribute'; the WWID is read from VPD page 83h" },
  { "default_getuid_callout", D, NULL,
    "obsolete: today's spelling is 'uid_attribute'; the WWID is read from VPD page 83h" },
  { "udev_dir", D, NULL, "obsolete, without a successor: " UDEV },
  { "multipath_tool", D, NULL, GONE },
  { "default_features", D, NULL, "obsolete: today's spelling is 'features'; " MAPPER },
  { "multipath_dir", D, NULL, GONE },
  { "pg_timeout", ALL, NULL, GONE },
  { "config_dir", D, NULL, GONE },
  { "disable_changed_wwids", D, NULL, GONE },
  { "mode", ALL, NULL, "the mode of a device node: " MAPPER },
  { "uid", ALL, NULL, "the owner of a device node: " MAPPER },
  { "gid", ALL, NULL, "the group of a device node: " MAPPER },
  { "max_retries", ALL, NULL, KERNEL },
  { "replace_wwid_whitespace", D, NULL, ALWAYS },
  { "hwtable_regex_match", D, NULL, GONE },
  { "hw_str_match", D, NULL, GONE },
  { "reload_readwrite", D, NULL, MAPPER },
  { "new_bindings_in_boot", D, NULL, GONE },
  { "unpriv_sgio", ALL, NULL, MAPPER },
  { "async_timeout", D, NULL, GONE },
  { "bl_product", V, NULL, "obsolete: today's spelling is 'product_blacklist'" },

  /* Today's. */
  { "verbosity", D, NULL, DAEMON },
  { "reassign_maps", D, NULL, MAPPER },
  { "uid_attrs", D, NULL, UDEV },
  { "uid_attribute", DVO, NULL, UDEV },
  { "max_fds", D, NULL, DAEMON },
  { "queue_without_daemon", D, NULL, DAEMON },
  { "checker_timeout", D, NULL, "checks are bounded by noop_out_timeout and command_timeout" },
  { "allow_usb_devices", D, NULL, "only LUNs that were logged in to are seen" },
  { "flush_on_last_del", ALL, NULL, MAPPER },
  { "bindings_file", D, NULL,
    "multipathd's file is left alone; 'bindings_file' in 'iscsi' names ours" },
  { "wwids_file", D, NULL, DAEMON },
  { "prkeys_file", D, NULL, RESERVE },
  { "log_checker_err", D, NULL, "a change of state is logged once" },
  { "all_tg_pt", DVO, NULL, RESERVE },
  { "hardware_handler", V, NULL, KERNEL },
  { "retain_attached_hw_handler", DVO, NULL, KERNEL },
  { "detect_pgpolicy_use_tpg", DVO, NULL, "the groups are made by priority" },
  { "force_sync", D, NULL, "checkers never wait for one another" },
  { "strict_timing", D, NULL, ALWAYS },
  { "deferred_remove", ALL, NULL, MAPPER },
  { "partition_delimiter", D, NULL, MAPPER },
  { "eh_deadline", DVO | IN_PROTOCOL, NULL, KERNEL },
  { "marginal_pathgroups", D, NULL, "a marginal path is never kept out when it is the last" },
  { "find_multipaths", D, NULL, "every LUN that was logged in to is served" },
  { "find_multipaths_timeout", D, NULL, "every LUN that was logged in to is served" },
  { "uxsock_timeout", D, NULL, DAEMON },
  { "retrigger_tries", D, NULL, UDEV },
  { "retrigger_delay", D, NULL, UDEV },
  { "missing_uev_wait_timeout", D, NULL, UDEV },
  { "skip_kpartx", ALL, NULL, MAPPER },
  { "remove_retries", D, NULL, MAPPER },
  { "max_sectors_kb", ALL, NULL, "requests are cut to the LUN's own limits" },
  { "ghost_delay", ALL, NULL, KERNEL },
  { "enable_foreign", D, NULL, "only iSCSI is served" },
  { "recheck_wwid", DVO, NULL, ALWAYS },
  { "auto_resize", D, NULL, "new connections see the new size" },
  { "purge_disconnected", ALL, NULL, KERNEL },
  { "vpd_vendor", V, NULL, "only for listing" },
  { NULL, 0, NULL, NULL },
};

const struct conf_word *
conf_word_find (const char *word, unsigned where)
{
  for (const struct conf_word *w = conf_words; w->word; ++w)
    if ((w->where & where) && strcmp (word, w->word) == 0)
      return w;
  return NULL;
}

const char *
conf_todays_spelling (const char *word)
{
  for (const struct conf_word *w = conf_words; w->word; ++w)
    if (w->today && strcmp (word, w->word) == 0)
      return w->today;
  return NULL;
}
