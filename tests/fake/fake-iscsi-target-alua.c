/* SPDX-License-Identifier: BSD-3-Clause */
/* fake-iscsi-target: asymmetric access (SPC-4 5.15): target port groups, their
 * states, REPORT and SET TARGET PORT GROUPS, and all the ways in which arrays
 * are odd about them.
 *
 * --alua gives the group and the state of each portal; --control a FIFO whose
 * lines change things at run time:
 *
 *   state GROUP STATE [GROUP STATE]...   at the same time, with UNIT ATTENTIONs
 *   report GROUP STATE|true     what REPORT TARGET PORT GROUPS says, a lie
 *   stpg ok|fail|ignore         how SET TARGET PORT GROUPS ends
 *   answers MS WHAT...          for so long I/O is answered so, in turn:
 *                               busy, full, aborted, or KEY/ASC/ASCQ
 *   count                       prints how many READs and WRITEs each portal
 *                               has had, and RTPGs and STPGs in all
 *
 * Each line is confirmed on standard output ("done LINE").
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fake-iscsi-target.h"

#define MAX_GROUPS 80

enum { AO = 0, ANO = 1, STANDBY = 2, UNAVAILABLE = 3, LBD = 4, OFFLINE = 0xe,
       TRANSITIONING = 0xf };

static const struct { const char *name; uint8_t state; } states[] = {
  { "ao", AO }, { "ano", ANO }, { "standby", STANDBY },
  { "unavailable", UNAVAILABLE }, { "lbd", LBD }, { "offline", OFFLINE },
  { "transitioning", TRANSITIONING },
};

static struct group {
  unsigned id;
  uint8_t state, status;
  bool preferred;
  int lie;                      /* -1: none */
} groups[MAX_GROUPS];
static unsigned n_groups, group_of_portal[16], n_group_portals;

static unsigned tpgs = 3, transition_time;
static bool no_type5, unavailable_qualifier;
static enum { RTPG_EXTENDED, RTPG_PLAIN, RTPG_CUT, RTPG_REFUSED,
              RTPG_BUSY } rtpg_how;
static enum { UA_CHANGED, UA_ALL, UA_NONE } ua_how;
static enum { STPG_OK, STPG_FAIL, STPG_IGNORE } stpg_how;
static uint8_t stpg_others = STANDBY;

static struct { uint8_t status, key, asc, ascq; } answers[16];
static unsigned n_answers, next_answer;
static double answers_until;
static unsigned long ios[16], rtpgs, stpgs;
static int control = -1;
static char line[512];
static size_t line_length;

static double
now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static struct group *
group_by_id (unsigned id)
{
  for (unsigned i = 0; i < n_groups; i++)
    if (groups[i].id == id)
      return &groups[i];
  return NULL;
}

static struct group *
group_of (const struct connection *c)
{
  return (unsigned) c->portal < n_group_portals
    ? group_by_id (group_of_portal[c->portal]) : NULL;
}

static struct group *
add_group (unsigned id, uint8_t state)
{
  if (n_groups == MAX_GROUPS)
    die ("fake-iscsi-target: more than %d groups", MAX_GROUPS);
  groups[n_groups] = (struct group) { .id = id, .state = state, .lie = -1 };
  return &groups[n_groups++];
}

static bool
parse_state (const char *text, uint8_t *state, bool *preferred)
{
  size_t n = strlen (text);

  *preferred = n > 0 && text[n - 1] == '+';
  n -= *preferred;
  for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
    if (strlen (states[i].name) == n &&
        memcmp (states[i].name, text, n) == 0) {
      *state = states[i].state;
      return true;
    }
  return false;
}

/* --- options ------------------------------------------------------------- */

/* GROUP:STATE[+],...: of the first portal, the second ... */
void
alua_option_groups (char *arg)
{
  char *save = NULL, *item, *colon;

  for (item = strtok_r (arg, ",", &save); item;
       item = strtok_r (NULL, ",", &save)) {
    struct group *g;
    uint8_t state;
    bool preferred;
    unsigned id = (unsigned) strtoul (item, &colon, 0);

    if (*colon != ':' || !parse_state (colon + 1, &state, &preferred) ||
        n_group_portals == 16)
      die ("fake-iscsi-target: --alua %s: want GROUP:STATE", item);
    g = group_by_id (id);
    if (g == NULL)
      g = add_group (id, state);
    g->preferred = preferred;
    group_of_portal[n_group_portals++] = id;
  }
}

void
alua_option_more (unsigned n)
{
  for (unsigned i = 0; i < n; i++)
    add_group (1000 + i, i % 5);
}

static int
one_of (const char *option, const char *arg, const char *const *names)
{
  for (int i = 0; names[i]; i++)
    if (strcmp (arg, names[i]) == 0)
      return i;
  die ("fake-iscsi-target: --%s %s: what?", option, arg);
}

bool
alua_option (const char *name, const char *arg)
{
  static const char *const rtpg_names[] = {
    "extended", "plain", "cut", "refused", "busy", NULL
  };
  static const char *const ua_names[] = { "changed", "all", "none", NULL };
  bool preferred;

  if (strcmp (name, "tpgs") == 0)
    tpgs = (unsigned) atoi (arg) & 3;
  else if (strcmp (name, "rtpg") == 0)
    rtpg_how = one_of (name, arg, rtpg_names);
  else if (strcmp (name, "alua-ua") == 0)
    ua_how = one_of (name, arg, ua_names);
  else if (strcmp (name, "transition-time") == 0)
    transition_time = (unsigned) atoi (arg) & 0xff;
  else if (strcmp (name, "stpg-others") == 0)
    return parse_state (arg, &stpg_others, &preferred);
  else if (strcmp (name, "no-type5") == 0)
    no_type5 = true;
  else if (strcmp (name, "unavailable-qualifier") == 0)
    unavailable_qualifier = true;
  else
    return false;
  return true;
}

/* --- what others ask ------------------------------------------------------ */

uint8_t
alua_inquiry_tpgs (void)
{
  return n_groups > 0 ? (uint8_t) (tpgs << 4) : 0;
}

/* -1: this port has no group. */
int
alua_inquiry_group (const struct connection *c)
{
  const struct group *g = group_of (c);

  if (n_groups == 0)
    return portal_tpgt[c->portal];
  return g && !no_type5 ? (int) g->id : -1;
}

uint8_t
alua_inquiry_qualifier (const struct connection *c)
{
  const struct group *g = group_of (c);

  return g && unavailable_qualifier && g->state == UNAVAILABLE ? 1 : 0;
}

/* --- states --------------------------------------------------------------- */

static void
set_state (struct group *g, uint8_t state, uint8_t status,
           const struct connection *by)
{
  if (g->state == state)
    return;
  g->state = state;
  g->status = status;
  if (ua_how == UA_NONE)
    return;
  for (struct connection *c = connections; c; c = c->next)
    if (c != by && c->full_feature &&
        (ua_how == UA_ALL || group_of (c) == g)) {
      c->ua_asc = 0x2a;         /* asymmetric access state changed */
      c->ua_ascq = 0x06;
    }
}

static void
refuse (struct result *r, uint8_t key, uint8_t asc, uint8_t ascq)
{
  *r = (struct result) { .status = 0x02, .key = key, .asc = asc, .ascq = ascq };
}

static void
report (const struct connection *c, const uint8_t *cdb, struct result *r)
{
  size_t allocation = get32 (cdb + 6), n = 4, room = 8 + 16 * MAX_GROUPS * 2;
  bool extended = cdb[1] >> 5 == 1;
  const struct group *own = group_of (c);
  uint8_t *p;

  rtpgs++;
  if (rtpg_how == RTPG_REFUSED) {
    refuse (r, 0x5, 0x20, 0x00);
    return;
  }
  if (rtpg_how == RTPG_BUSY && own && own->state == TRANSITIONING) {
    refuse (r, 0x2, 0x04, 0x0a);
    return;
  }
  if (extended && rtpg_how == RTPG_PLAIN) {
    refuse (r, 0x5, 0x24, 0x00);
    return;
  }
  p = calloc (1, room);
  if (p == NULL)
    die ("out of memory");
  if (extended) {
    p[4] = 0x10;
    p[5] = (uint8_t) transition_time;
    n = 8;
  }
  for (unsigned i = 0; i < n_groups; i++) {
    uint8_t *d = p + n;
    unsigned ports = 0;

    d[0] = (uint8_t) ((groups[i].preferred ? 0x80 : 0) |
                      (groups[i].lie >= 0 ? groups[i].lie : groups[i].state));
    d[1] = 0xdf;
    put16 (d + 2, groups[i].id);
    d[5] = groups[i].status;
    for (unsigned k = 0; k < n_group_portals; k++)
      if (group_of_portal[k] == groups[i].id)
        put16 (d + 8 + 4 * ports++ + 2, k + 1);
    d[7] = (uint8_t) ports;
    n += 8 + 4 * ports;
  }
  put32 (p, (uint32_t) n - 4);
  /* As Linux 6.1 has it: the header is not counted, nor sent. */
  if (extended && rtpg_how == RTPG_CUT) {
    n -= 4;
    put32 (p, (uint32_t) n - 4);
  }
  r->data = p;
  r->n = n < allocation ? n : allocation;
}

static void
set (const struct connection *c, const uint8_t *out, size_t n_out,
     struct result *r)
{
  stpgs++;
  if (!(tpgs & 2)) {
    refuse (r, 0x5, 0x20, 0x00);
    return;
  }
  if (stpg_how == STPG_FAIL) {
    refuse (r, 0x4, 0x67, 0x0a);
    return;
  }
  for (size_t i = 4; i + 4 <= n_out; i += 4) {
    struct group *g = group_by_id (get16 (out + i + 2));

    if (g == NULL || (out[i] & 0x0f) > 3) {
      refuse (r, 0x5, 0x26, 0x00);
      return;
    }
    if (stpg_how == STPG_IGNORE)
      continue;
    set_state (g, out[i] & 0x0f, 1, c);
    if ((out[i] & 0x0f) == AO)
      for (unsigned k = 0; k < n_groups; k++)
        if (&groups[k] != g && groups[k].state <= ANO)
          set_state (&groups[k], stpg_others, 1, c);
  }
}

static bool
is_io (const uint8_t *cdb)
{
  const uint8_t op = cdb[0] & 0x1f;

  return cdb[0] >> 5 != 3 && (op == 0x08 || op == 0x0a);
}

/* SPC-4 5.15.2.4: which commands a port in that state still takes.  true: R is
 * the answer. */
bool
alua_execute (struct connection *c, const uint8_t *cdb, const uint8_t *out,
              size_t n_out, struct result *r)
{
  const struct group *g = group_of (c);

  if (is_io (cdb) && (unsigned) c->portal < 16)
    ios[c->portal]++;
  if (n_answers > 0 && (is_io (cdb) || cdb[0] == 0x35)) {
    if (now () < answers_until) {
      *r = (struct result) {
        .status = answers[next_answer].status, .key = answers[next_answer].key,
        .asc = answers[next_answer].asc, .ascq = answers[next_answer].ascq,
      };
      next_answer = (next_answer + 1) % n_answers;
      return true;
    }
    n_answers = 0;
  }
  if (facts.owner_page && c->portal != 0 && is_io (cdb)) {
    refuse (r, 0x5, 0x94, 0x01);
    return true;
  }
  if (n_groups == 0)
    return false;
  if (cdb[0] == 0xa3 && (cdb[1] & 0x1f) == 0x0a) {
    report (c, cdb, r);
    return true;
  }
  if (cdb[0] == 0xa4 && (cdb[1] & 0x1f) == 0x0a) {
    set (c, out, n_out, r);
    return true;
  }
  if (g == NULL)
    return false;
  switch (g->state) {
  case STANDBY:
    switch (cdb[0]) {
    case 0x1a: case 0x25: case 0x9e: case 0x5e: case 0x5f: case 0x03:
      return false;
    }
    refuse (r, 0x2, 0x04, 0x0b);
    return true;
  case UNAVAILABLE:
    refuse (r, 0x2, 0x04, 0x0c);
    return true;
  case TRANSITIONING:
    refuse (r, 0x2, 0x04, 0x0a);
    return true;
  case OFFLINE:
    refuse (r, 0x2, 0x04, 0x12);
    return true;
  }
  return false;
}

/* --- control -------------------------------------------------------------- */

static bool
do_states (char **save, bool lie)
{
  const char *id, *text;

  while ((id = strtok_r (NULL, " ", save)) != NULL) {
    struct group *g = group_by_id ((unsigned) atoi (id));
    bool preferred;
    uint8_t state;

    text = strtok_r (NULL, " ", save);
    if (g == NULL || text == NULL)
      return false;
    if (lie && strcmp (text, "true") == 0)
      g->lie = -1;
    else if (!parse_state (text, &state, &preferred))
      return false;
    else if (lie)
      g->lie = state;
    else {
      g->preferred = preferred;
      set_state (g, state, 2, NULL);
    }
  }
  return true;
}

static bool
do_answers (char **save)
{
  const char *text = strtok_r (NULL, " ", save);
  unsigned key, asc, ascq;

  n_answers = next_answer = 0;
  if (text == NULL)
    return true;
  answers_until = now () + atoi (text) / 1000.;
  while ((text = strtok_r (NULL, " ", save)) != NULL && n_answers < 16) {
    memset (&answers[n_answers], 0, sizeof answers[0]);
    if (strcmp (text, "busy") == 0)
      answers[n_answers].status = 0x08;
    else if (strcmp (text, "full") == 0)
      answers[n_answers].status = 0x28;
    else if (strcmp (text, "aborted") == 0)
      answers[n_answers].status = 0x40;
    else if (sscanf (text, "%x/%x/%x", &key, &asc, &ascq) == 3) {
      answers[n_answers].status = 0x02;
      answers[n_answers].key = (uint8_t) key;
      answers[n_answers].asc = (uint8_t) asc;
      answers[n_answers].ascq = (uint8_t) ascq;
    }
    else
      return false;
    n_answers++;
  }
  return true;
}

static bool
do_line (char *text)
{
  char *save = NULL, *word = strtok_r (text, " ", &save), *arg;

  if (word == NULL)
    return false;
  if (strcmp (word, "state") == 0)
    return do_states (&save, false);
  if (strcmp (word, "report") == 0)
    return do_states (&save, true);
  if (strcmp (word, "answers") == 0)
    return do_answers (&save);
  if (strcmp (word, "count") == 0) {
    printf ("count");
    for (int i = 0; i < n_portals; i++)
      printf (" %lu", ios[i]);
    printf (" rtpg %lu stpg %lu\n", rtpgs, stpgs);
    return true;
  }
  arg = strtok_r (NULL, " ", &save);
  if (strcmp (word, "stpg") == 0 && arg) {
    static const char *const names[] = { "ok", "fail", "ignore", NULL };

    stpg_how = one_of (word, arg, names);
    return true;
  }
  return false;
}

void
control_open (const char *path)
{
  if (mkfifo (path, 0600) == -1 && errno != EEXIST)
    die ("fake-iscsi-target: %s: %s", path, strerror (errno));
  /* For reading too: so it never ends. */
  control = open (path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (control == -1)
    die ("fake-iscsi-target: %s: %s", path, strerror (errno));
}

int
control_fd (void)
{
  return control;
}

void
control_ready (void)
{
  char copy[sizeof line], byte;

  while (read (control, &byte, 1) == 1) {
    if (byte != '\n') {
      if (line_length + 1 < sizeof line)
        line[line_length++] = byte;
      continue;
    }
    line[line_length] = '\0';
    line_length = 0;
    memcpy (copy, line, sizeof copy);
    printf ("%s %s\n", do_line (line) ? "done" : "WRONG", copy);
    fflush (stdout);
  }
}
