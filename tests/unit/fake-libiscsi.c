/* SPDX-License-Identifier: BSD-3-Clause */
/* libiscsi's functions, as far as they are used: a context connects and logs in
 * to what fake-libiscsi-wire.c has at the other end.  See the header.
 *
 * Threads: callers hold whatever lock they think is enough; that no two of
 * them are in one context is checked.  Our own data is under fake_lock, which
 * is not held during callbacks. */
#include <config.h>

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake-libiscsi.h"
#include "iscsi/pdu.h"

enum ctx_state { NEW, CONNECTING, CONNECTED, LOGGED_IN, DESTROYED };

struct iscsi_context {
  struct list node;             /* live, or grave */
  enum ctx_state state;
  struct fake_portal *portal;
  int fd;
  bool discovery;
  uint64_t isid;
  iscsi_command_cb connect_cb, login_cb;
  void *connect_opaque, *login_opaque;
  uint8_t out[1024], in[4096];  /* of the login */
  size_t out_size, in_size;
  char error[300], address[200], name[256];

  pthread_t user;               /* who is inside ... */
  unsigned depth;               /* ... how deep ... */
  unsigned callbacks;           /* ... and in how many callbacks */
};

/* Under fake_lock. */
static struct list live = LIST_INIT (live);
/* Destroyed ones stay until the end, to know them when they are used. */
static struct list grave = LIST_INIT (grave);
static uint32_t next_cmdsn = 0xfffffff0;

void
fake_misuse (const char *fs, ...)
{
  va_list args;

  fprintf (stderr, "fake-libiscsi: misuse: ");
  va_start (args, fs);
  vfprintf (stderr, fs, args);
  va_end (args);
  fprintf (stderr, "\n");
  abort ();
}

/* Takes fake_lock. */
static void
enter (struct iscsi_context *c, const char *call, bool callback_may)
{
  pthread_mutex_lock (&fake_lock);
  if (c->state == DESTROYED)
    fake_misuse ("%s on a destroyed context", call);
  if (c->depth > 0 && !pthread_equal (c->user, pthread_self ()))
    fake_misuse ("%s while another thread is in the context", call);
  if (c->callbacks > 0 && !callback_may)
    fake_misuse ("%s from inside a callback", call);
  c->user = pthread_self ();
  c->depth++;
}

static void
leave (struct iscsi_context *c)
{
  c->depth--;
  pthread_mutex_unlock (&fake_lock);
}

/* Lets go of fake_lock meanwhile. */
static void
call_back (struct iscsi_context *c, iscsi_command_cb cb, int status,
           void *opaque)
{
  c->callbacks++;
  pthread_mutex_unlock (&fake_lock);
  cb (c, status, NULL, opaque);
  pthread_mutex_lock (&fake_lock);
  c->callbacks--;
}

/* ---- connect and log in --------------------------------------------------------- */

static int
finish_connect (struct iscsi_context *c)
{
  const bool good = c->portal->connect == FAKE_CONNECT_OK;

  if (!good)
    snprintf (c->error, sizeof c->error, "iscsi_service: socket error "
              "%s(%d).", strerror (EHOSTUNREACH), EHOSTUNREACH);
  else
    c->state = CONNECTED;
  call_back (c, c->connect_cb, good ? SCSI_STATUS_GOOD : SCSI_STATUS_ERROR,
             c->connect_opaque);
  return good ? 0 : -1;
}

static void
add_pair (struct iscsi_context *c, const char *key, const char *value)
{
  c->out_size += 1 + (size_t) snprintf ((char *) c->out + c->out_size,
                                        sizeof c->out - c->out_size, "%s=%s",
                                        key, value);
  assert (c->out_size < sizeof c->out);
}

/* One request, to the full feature phase: as libiscsi without CHAP. */
static void
make_request (struct iscsi_context *c)
{
  static const char *const keys[][2] = {
    { "HeaderDigest", "None" }, { "DataDigest", "None" },
    { "InitialR2T", "No" }, { "ImmediateData", "Yes" },
    { "MaxBurstLength", "262144" }, { "FirstBurstLength", "262144" },
    { "MaxOutstandingR2T", "1" }, { "ErrorRecoveryLevel", "0" },
    { "MaxRecvDataSegmentLength", "262144" },
    { "DataPDUInOrder", "Yes" }, { "DataSequenceInOrder", "Yes" },
  };
  const uint32_t cmdsn = next_cmdsn += 13;
  uint8_t *h = c->out;

  pdu_request (h, PDU_LOGIN_REQUEST | PDU_IMMEDIATE, 0x87, 0x1234, cmdsn, 0);
  put_be16 (&h[PDU_AT_ISID], (uint16_t) (c->isid >> 32));
  put_be32 (&h[PDU_AT_ISID + 2], (uint32_t) c->isid);
  c->out_size = PDU_BHS;
  add_pair (c, "InitiatorName", "iqn.2026-11.test.fake:initiator");
  add_pair (c, "SessionType", c->discovery ? "Discovery" : "Normal");
  if (!c->discovery)
    add_pair (c, "TargetName", c->name);
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
    add_pair (c, keys[i][0], keys[i][1]);
  pdu_set_data_size (h, (uint32_t) c->out_size - PDU_BHS);
  while (c->out_size % 4)
    c->out[c->out_size++] = 0;
}

static void
take_response (struct iscsi_context *c)
{
  const uint8_t *h = c->in;
  size_t size;
  int status = SCSI_STATUS_ERROR;

  if (c->in_size < PDU_BHS)
    return;
  size = PDU_BHS + pdu_data_size (h) + pdu_padding (pdu_data_size (h));
  if (c->in_size < size)
    return;
  if (pdu_opcode (h) != PDU_LOGIN_RESPONSE || get_be32 (&h[PDU_AT_ITT]) != 0x1234)
    fake_misuse ("libiscsi gets a PDU of type %02x", h[0]);
  c->in_size -= size;
  if (h[PDU_AT_STATUS_CLASS] == 0) {
    c->state = LOGGED_IN;
    status = SCSI_STATUS_GOOD;
  }
  else if (h[PDU_AT_STATUS_CLASS] == 1) {
    snprintf (c->address, sizeof c->address, "%s", c->portal->login_text);
    status = SCSI_STATUS_REDIRECT;
  }
  else
    snprintf (c->error, sizeof c->error, "%s", c->portal->login_text);
  call_back (c, c->login_cb, status, c->login_opaque);
}

int
iscsi_service (struct iscsi_context *c, int revents)
{
  ssize_t n;
  int r = 0;

  enter (c, "iscsi_service", false);
  if (c->state == NEW)
    fake_misuse ("iscsi_service before iscsi_connect_async");
  if (c->state == CONNECTING) {
    if (revents & POLLOUT)
      r = finish_connect (c);
    leave (c);
    return r;
  }
  if (revents & POLLOUT && c->out_size > 0) {
    n = send (c->fd, c->out, c->out_size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      memmove (c->out, c->out + n, c->out_size - (size_t) n);
      c->out_size -= (size_t) n;
    }
  }
  if (revents & POLLIN) {
    n = recv (c->fd, c->in + c->in_size, sizeof c->in - c->in_size,
              MSG_DONTWAIT);
    if (n > 0) {
      c->in_size += (size_t) n;
      take_response (c);
    }
    else if (n == 0) {
      snprintf (c->error, sizeof c->error, "the target closed the connection");
      r = -1;
    }
  }
  leave (c);
  return r;
}

int
iscsi_which_events (struct iscsi_context *c)
{
  int r;

  enter (c, "iscsi_which_events", true);
  if (c->state == NEW)
    fake_misuse ("iscsi_which_events before iscsi_connect_async");
  r = c->state == CONNECTING ? POLLOUT
    : POLLIN | (c->out_size > 0 ? POLLOUT : 0);
  leave (c);
  return r;
}

int
iscsi_get_fd (struct iscsi_context *c)
{
  int fd;

  enter (c, "iscsi_get_fd", true);
  fd = c->fd;
  leave (c);
  return fd;
}

const char *
iscsi_get_error (struct iscsi_context *c)
{
  enter (c, "iscsi_get_error", true);
  leave (c);
  return c->error;
}

const char *
iscsi_get_target_address (struct iscsi_context *c)
{
  enter (c, "iscsi_get_target_address", true);
  leave (c);
  return c->address;
}

struct iscsi_context *
iscsi_create_context (const char *initiator_name)
{
  struct iscsi_context *c = calloc (1, sizeof *c);

  assert (c != NULL && initiator_name[0] != '\0');
  c->fd = -1;
  pthread_mutex_lock (&fake_lock);
  list_add_tail (&live, &c->node);
  pthread_mutex_unlock (&fake_lock);
  return c;
}

int
iscsi_destroy_context (struct iscsi_context *c)
{
  enter (c, "iscsi_destroy_context", false);
  if (c->fd >= 0)
    close (c->fd);
  c->fd = -1;
  c->state = DESTROYED;
  list_del (&c->node);
  list_add_tail (&grave, &c->node);
  leave (c);
  return 0;
}

static void
count_logins (struct fake_portal *p)
{
  struct list *l, *next;
  unsigned n = 0;

  list_for_each (l, next, &live) {
    const struct iscsi_context *c = list_entry (l, struct iscsi_context, node);

    if (c->portal == p && (c->state == CONNECTING || c->state == CONNECTED))
      n++;
  }
  if (n > p->logins_at_once)
    p->logins_at_once = n;
}

int
iscsi_connect_async (struct iscsi_context *c, const char *portal,
                     iscsi_command_cb cb, void *opaque)
{
  int r = 0;

  enter (c, "iscsi_connect_async", false);
  if (c->state != NEW)
    fake_misuse ("iscsi_connect_async twice");
  c->portal = fake_find_portal (portal);
  if (c->portal == NULL)
    fake_misuse ("connect to a portal that was not made: %s", portal);
  if (c->portal->connect == FAKE_CONNECT_AT_ONCE) {
    snprintf (c->error, sizeof c->error, "Connect failed with errno : %s(%d)",
              strerror (ECONNREFUSED), ECONNREFUSED);
    r = -1;
  }
  else {
    c->fd = fake_conn_new (c->portal);
    c->connect_cb = cb;
    c->connect_opaque = opaque;
    c->state = CONNECTING;
    count_logins (c->portal);
  }
  leave (c);
  return r;
}

int
iscsi_login_async (struct iscsi_context *c, iscsi_command_cb cb, void *opaque)
{
  enter (c, "iscsi_login_async", false);
  if (c->state != CONNECTED)
    fake_misuse ("iscsi_login_async without a connection");
  if (!c->discovery && c->name[0] == '\0')
    fake_misuse ("iscsi_login_async without a target name");
  c->login_cb = cb;
  c->login_opaque = opaque;
  make_request (c);
  leave (c);
  return 0;
}

/* ---- settings of a context ----------------------------------------------------------- */

int
iscsi_set_targetname (struct iscsi_context *c, const char *name)
{
  enter (c, "iscsi_set_targetname", false);
  snprintf (c->name, sizeof c->name, "%s", name);
  leave (c);
  return 0;
}

int
iscsi_set_session_type (struct iscsi_context *c, enum iscsi_session_type type)
{
  enter (c, "iscsi_set_session_type", false);
  c->discovery = type == ISCSI_SESSION_DISCOVERY;
  leave (c);
  return 0;
}

int
iscsi_set_header_digest (struct iscsi_context *c, enum iscsi_header_digest d)
{
  (void) d;
  enter (c, "iscsi_set_header_digest", false);
  leave (c);
  return 0;
}

int
iscsi_set_isid_random (struct iscsi_context *c, uint32_t random,
                       uint32_t qualifier)
{
  enter (c, "iscsi_set_isid_random", false);
  c->isid = (uint64_t) 0x80 << 40 | (uint64_t) (random & 0xffffff) << 16 |
    (qualifier & 0xffff);
  leave (c);
  return 0;
}

void
iscsi_set_noautoreconnect (struct iscsi_context *c, int state)
{
  (void) state;
  enter (c, "iscsi_set_noautoreconnect", false);
  leave (c);
}

int
iscsi_set_initiator_username_pwd (struct iscsi_context *c, const char *user,
                                  const char *password)
{
  assert (user != NULL && password != NULL);
  enter (c, "iscsi_set_initiator_username_pwd", false);
  leave (c);
  return 0;
}

int
iscsi_set_target_username_pwd (struct iscsi_context *c, const char *user,
                               const char *password)
{
  assert (user != NULL && password != NULL);
  enter (c, "iscsi_set_target_username_pwd", false);
  leave (c);
  return 0;
}

/* ---- for tests ---------------------------------------------------------------------------- */

void
fake_start (unsigned seed)
{
  fake_target_start (seed);
  fake_wire_start ();
}

void
fake_end (void)
{
  pthread_mutex_lock (&fake_lock);
  if (!list_empty (&live))
    fake_misuse ("a context was not destroyed");
  pthread_mutex_unlock (&fake_lock);
  fake_wire_end ();
  while (!list_empty (&grave)) {
    struct iscsi_context *c =
      list_entry (grave.next, struct iscsi_context, node);

    list_del (&c->node);
    free (c);
  }
  fake_target_end ();
}
