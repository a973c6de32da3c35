/* SPDX-License-Identifier: BSD-3-Clause */
/* What the configuration says about one LUN: its options, and whether it is
 * wanted at all. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "conf/conf-internal.h"
#include "conf/devices.h"

/* Lays what the section gives over *out, except what the command line gave. */
static int
overlay (const struct settings *s, const struct conf_options *from,
         struct map_settings *out)
{
  for (const struct option *o = options; o->name; ++o) {
    const uint64_t bit = option_bit (options, o);

    if (o->map && (from->given & bit) && !(s->given & bit) &&
        option_copy (o, option_map_field (o, out),
                     (const char *) &from->values + o->offset) == -1)
      return -1;
  }
  return 0;
}

static bool
fits (const struct conf_pattern *p, const char *text)
{
  return p == NULL || conf_pattern_match (p, text);
}

bool
conf_device_matches (const struct conf_device *d, const struct lu_facts *lu)
{
  return (d->vendor || d->product) && fits (d->vendor, lu->vendor) &&
    fits (d->product, lu->product) && fits (d->revision, lu->revision);
}

/* What is built in for this array: as if a device section said so, before all
 * those of the file. */
void
conf_builtin (const struct device_family *f, struct conf_options *o)
{
  memset (o, 0, sizeof *o);
  o->queue_feature = -1;
  if (f == NULL)
    return;
#define GIVE(field, value)                                              \
  do {                                                                  \
    o->values.field = value;                                            \
    o->given |= option_bit (options, option_find (options, #field,      \
                                                  IN_DEVICE));          \
  } while (0)
  if (f->no_path_retry != 0)
    GIVE (no_path_retry, f->no_path_retry);
  if (f->fast_io_fail_tmo != 0)
    GIVE (fast_io_fail_tmo, f->fast_io_fail_tmo);
  if (f->failback != 0)
    GIVE (failback, f->failback);
  /* Copied, like all of them: never changed through this. */
  if (f->prio_args != NULL)
    GIVE (prio_args, (char *) f->prio_args);
#undef GIVE
}

struct layers {
  const struct settings *s;
  struct map_settings *out;
  uint64_t given;               /* by any of them */
  int queue_feature;            /* of the last one that says */
};

static int
lay (struct layers *l, const struct conf_options *from)
{
  l->given |= from->given;
  if (from->queue_feature != -1)
    l->queue_feature = from->queue_feature;
  return overlay (l->s, from, l->out);
}

static int
resolve (struct layers *l, const struct conf *conf, const struct lu_facts *lu)
{
  const struct option *retry = option_find (options, "no_path_retry", ~0u);
  struct conf_options builtin;

  if (conf != NULL) {
    l->given |= conf->values->given;
    l->queue_feature = conf->extra.queue_feature;
  }
  conf_builtin (device_family (lu), &builtin);
  if (lay (l, &builtin) == -1)
    return -1;
  if (conf == NULL)
    return 0;
  for (const struct conf_device *d = conf->devices; d; d = d->next)
    if (conf_device_matches (d, lu) && lay (l, &d->options) == -1)
      return -1;
  if (lay (l, &conf->overrides) == -1 || lay (l, &conf->protocol) == -1)
    return -1;
  for (const struct conf_multipath *m = conf->multipaths; m; m = m->next)
    if (strcmp (m->wwid, lu->wwid) == 0 && lay (l, &m->options) == -1)
      return -1;
  /* no_path_retry, wherever it is given, beats the feature. */
  if (l->queue_feature == 1 && !(l->given & option_bit (options, retry)))
    l->out->no_path_retry = NO_PATH_RETRY_QUEUE;
  return 0;
}

int
conf_resolve (const struct settings *s, const struct lu_facts *lu,
              const char *target, struct map_settings *out)
{
  struct layers l = { s, out, s->given, -1 };

  (void) target;
  /* s->defaults has the built-in values, the file's defaults and the command
   * line by now. */
  memset (out, 0, sizeof *out);
  for (const struct option *o = options; o->name; ++o)
    if (o->map && option_copy (o, option_map_field (o, out),
                               (const char *) &s->defaults + o->offset) == -1)
      goto no_memory;
  if (resolve (&l, s->conf, lu) == -1)
    goto no_memory;
  /* As multipathd has it: a read is refused in standby, TEST UNIT READY says
   * why.  What the command line says is meant. */
  if (out->detect_checker && lu->tpgs != 0 &&
      out->path_checker == CHECKER_DIRECTIO &&
      !(s->given & option_bit (options, option_find (options, "path_checker",
                                                     ~0u))))
    out->path_checker = CHECKER_TUR;
  out->given = l.given;
  return 0;

 no_memory:
  map_settings_free (out);
  return -1;
}

static bool
rule_matches (const struct conf_rule *rule, const struct lu_facts *lu,
              const char *target, const char *portal)
{
  switch (rule->by) {
  case BY_DEVICE:
    return fits (rule->pattern, lu->vendor) && fits (rule->product, lu->product);
  case BY_WWID:
    return conf_pattern_match (rule->pattern, lu->wwid);
  case BY_TARGET:
    return target && conf_pattern_match (rule->pattern, target);
  case BY_PORTAL:
    return portal && conf_pattern_match (rule->pattern, portal);
  case NR_CRITERIA:
    break;
  }
  return false;
}

static const struct conf_rule *
first_match (const struct conf_rule *rules, enum conf_criterion by,
             const struct lu_facts *lu, const char *target, const char *portal)
{
  for (; rules; rules = rules->next)
    if (rules->by == by && rule_matches (rules, lu, target, portal))
      return rules;
  return NULL;
}

/* As in multipath.conf(5): criterion by criterion; within one, an exception
 * beats the blacklist; an exception of another criterion does not help. */
bool
conf_blacklisted (const struct settings *s, const struct lu_facts *lu,
                  const char *target, const struct portal *portal,
                  char *why, size_t size)
{
  static const char *const names[NR_CRITERIA] =
    { "device", "wwid", "target", "portal" };
  const struct conf *conf = s->conf;
  char text[300];

  if (size > 0)
    why[0] = '\0';
  if (s->lun < 0 && s->wwid == NULL && lu_management (lu) != NULL &&
      (conf == NULL || first_match (conf->exceptions, BY_DEVICE, lu, target,
                                    NULL) == NULL)) {
    snprintf (why, size, "not served, %s (%s %s); a blacklist_exceptions "
              "section may name that device", lu_management (lu), lu->vendor,
              lu->product);
    return true;
  }
  if (conf == NULL)
    return false;
  if (portal)
    portal_text (portal, text, sizeof text);
  for (int by = 0; by < NR_CRITERIA; ++by) {
    const struct conf_rule *rule =
      first_match (conf->blacklist, by, lu, target, portal ? text : NULL);

    if (rule && first_match (conf->exceptions, by, lu, target,
                             portal ? text : NULL) == NULL) {
      snprintf (why, size, "blacklisted, %s: %.200s:%u", names[by], conf->name,
                rule->line);
      return true;
    }
  }
  return false;
}
