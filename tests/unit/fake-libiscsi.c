/* SPDX-License-Identifier: BSD-3-Clause */
/* libiscsi's functions over the target of fake-libiscsi-target.c.  See the header.
 *
 * Threads: callers hold whatever lock they think is enough; that no two of
 * them are in one context is checked.  Our own data is under fake_lock, which
 * is not held during callbacks.  One thread executes what has a delay. */
#include <config.h>

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "iscsi/tcp-info.h"
#include "fake-libiscsi.h"

enum ctx_state { NEW, CONNECTING, CONNECTED, LOGGED_IN, DESTROYED };

struct iscsi_context {
  struct list node;             /* live, or grave */
  enum ctx_state state;
  struct fake_portal *portal;
  int fd, peer;                 /* ours; the target's, -1: closed */
  bool choked;                  /* the socket was filled */
  bool signalled;               /* a byte is in the socket */
  bool refused;                 /* SO_ERROR has it */
  bool cancelled;               /* died: all was cancelled, -1 comes next */
  bool told;                    /* the caller knows of the death */
  bool discovery;
  bool attention[FAKE_MAX_LUNS];
  uint64_t isid;                /* 0: libiscsi's own choice */
  iscsi_command_cb connect_cb;
  void *connect_opaque;
  struct list out;              /* not sent */
  struct list target;           /* the target has it */
  struct list answers;          /* executed, in order of arrival here */
  char error[300], address[200], name[256];
  iscsi_log_fn log_fn;
  int log_level;

  pthread_t user;               /* who is inside ... */
  unsigned depth;               /* ... how deep ... */
  unsigned callbacks;           /* ... and in how many callbacks */
};

/* Under fake_lock. */
static struct list live = LIST_INIT (live);
/* Destroyed ones stay until the end, to know them when they are used. */
static struct list grave = LIST_INIT (grave);
static bool eager, stop;
static uint32_t next_itt;
static unsigned deaths, eager_callbacks, resets;
static struct iscsi_discovery_address *offer;
static pthread_cond_t work;
static pthread_t thread;

static void __attribute__ ((noreturn, format (printf, 1, 2)))
misuse (const char *fs, ...)
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
    misuse ("%s on a destroyed context", call);
  if (c->depth > 0 && !pthread_equal (c->user, pthread_self ()))
    misuse ("%s while another thread is in the context", call);
  if (c->callbacks > 0 && !callback_may)
    misuse ("%s from inside a callback", call);
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
           void *data, void *opaque)
{
  if (cb == NULL)
    return;
  c->callbacks++;
  pthread_mutex_unlock (&fake_lock);
  cb (c, status, data, opaque);
  pthread_mutex_lock (&fake_lock);
  c->callbacks--;
}

/* ---- commands ------------------------------------------------------------------- */

/* While a context refers to a task nobody else may touch it. */
static void
check_task (const struct fake_command *cmd, const char *when)
{
  if (cmd->kind == FAKE_CMD_SCSI &&
      (cmd->task->itt != cmd->itt ||
       memcmp (cmd->task->cdb, cmd->cdb, sizeof cmd->cdb) != 0))
    misuse ("a task was changed while a context refers to it (%s)", when);
}

static bool
list_has_task (struct list *head, const struct scsi_task *task)
{
  struct list *l, *next;

  list_for_each (l, next, head)
    if (list_entry (l, struct fake_command, node)->task == task)
      return true;
  return false;
}

static void
check_not_in_use (const struct scsi_task *task)
{
  struct list *l, *next;

  list_for_each (l, next, &live) {
    struct iscsi_context *c = list_entry (l, struct iscsi_context, node);

    if (list_has_task (&c->out, task) || list_has_task (&c->target, task) ||
        list_has_task (&c->answers, task))
      misuse ("a task is submitted while a context still refers to it");
  }
}

static struct fake_command *
command_new (struct iscsi_context *c, enum fake_kind kind,
             iscsi_command_cb cb, void *opaque)
{
  struct fake_command *cmd = calloc (1, sizeof *cmd);

  assert (cmd != NULL);
  cmd->kind = kind;
  cmd->cb = cb;
  cmd->opaque = opaque;
  list_add_tail (&c->out, &cmd->node);
  return cmd;
}

static void
command_free (struct fake_command *cmd)
{
  list_del (&cmd->node);
  free (cmd->data);
  free (cmd);
}

/* ---- the target's end ------------------------------------------------------------- */

static void
close_peer (struct iscsi_context *c)
{
  if (c->peer >= 0) {
    close (c->peer);
    c->peer = -1;
    deaths++;
  }
}

/* The target loses the nexus: each of its tasks was executed or not. */
static void
drop_tasks (struct iscsi_context *c)
{
  struct list *l, *next;

  list_for_each (l, next, &c->target) {
    struct fake_command *cmd = list_entry (l, struct fake_command, node);

    if (cmd->kind == FAKE_CMD_SCSI && !cmd->aborted && fake_random () % 2)
      fake_execute_unseen (c->portal, cmd);
  }
}

static void
kill_connection (struct iscsi_context *c)
{
  if (c->peer < 0 || c->state == CONNECTING)
    return;
  drop_tasks (c);
  /* Answers on their way arrive, or a RST overtakes them. */
  if (fake_random () % 2) {
    while (!list_empty (&c->answers)) {
      struct list *l = c->answers.next;

      list_del (l);
      list_add_tail (&c->target, l);
    }
  }
  close_peer (c);
}

static void
signal_caller (struct iscsi_context *c)
{
  if (!c->signalled && c->peer >= 0) {
    c->signalled = true;
    if (write (c->peer, "!", 1) != 1)
      misuse ("cannot write to the socket pair: %s", strerror (errno));
  }
}

/* A login with the ISID of another session of the same portal group replaces
 * it (RFC 7143 6.3.5). */
static void
reinstate (struct iscsi_context *c)
{
  struct list *l, *next;

  list_for_each (l, next, &live) {
    struct iscsi_context *other = list_entry (l, struct iscsi_context, node);

    if (other != c && other->state == LOGGED_IN && c->isid != 0 &&
        other->isid == c->isid && strcmp (other->name, c->name) == 0 &&
        other->portal->tpgt == c->portal->tpgt)
      kill_connection (other);
  }
}

/* LOGICAL UNIT RESET: the tasks of every nexus end, and those of the others
 * without an answer (SAM-5 7.7, TAS 0), but with a UNIT ATTENTION. */
static void
reset_lun (struct fake_portal *p, const struct iscsi_context *c, unsigned lun)
{
  const struct fake_disk *d = p->luns[lun];
  struct list *l, *next, *k, *knext;

  list_for_each (l, next, &live) {
    struct iscsi_context *other = list_entry (l, struct iscsi_context, node);

    if (other->state != LOGGED_IN || other->peer < 0 || d == NULL ||
        other->portal->luns[lun] != d)
      continue;
    other->attention[lun] = other != c;
    list_for_each (k, knext, &other->target) {
      struct fake_command *cmd = list_entry (k, struct fake_command, node);

      if (cmd->kind != FAKE_CMD_SCSI || cmd->lun != lun || cmd->aborted)
        continue;
      if (fake_random () % 2)
        fake_execute_unseen (other->portal, cmd);
      cmd->aborted = true;
      cmd->due = fake_now () + 1e6;
    }
  }
}

/* The task of C that has the tag: executed or not, but not later. */
static void
abort_task (struct iscsi_context *c, struct fake_command *tmf)
{
  struct list *l, *next;

  tmf->response = 1;            /* no such task */
  list_for_each (l, next, &c->target) {
    struct fake_command *cmd = list_entry (l, struct fake_command, node);

    if (cmd->kind != FAKE_CMD_SCSI || cmd->itt != tmf->ritt || cmd->aborted)
      continue;
    if (fake_random () % 2)
      fake_execute_unseen (c->portal, cmd);
    cmd->aborted = true;
    cmd->due = fake_now () + 1e6;
    tmf->response = 0;
  }
}

/* Task management.  False: CMD is in a list. */
static bool
manage (struct iscsi_context *c, struct fake_command *cmd)
{
  const enum fake_tmf how = cmd->kind == FAKE_CMD_LUN_RESET
    ? c->portal->reset : c->portal->abort;
  struct list *l, *next;

  if (how == FAKE_TMF_REFUSED)
    cmd->response = 5;
  else if (how == FAKE_TMF_LOST) {
    list_add_tail (&c->target, &cmd->node);
    cmd->due = fake_now () + 1e6;
    return false;
  }
  else if (cmd->kind == FAKE_CMD_ABORT_TASK)
    abort_task (c, cmd);
  else {
    reset_lun (c->portal, c, cmd->lun);
    resets++;
    if (how == FAKE_TMF_DROPS)
      list_for_each (l, next, &live) {
        struct iscsi_context *o = list_entry (l, struct iscsi_context, node);

        if (o->state == LOGGED_IN && o != c)
          close_peer (o);
      }
  }
  return true;
}

/* CMD's time has come.  It is in no list. */
static void
execute (struct iscsi_context *c, struct fake_command *cmd)
{
  struct fake_portal *p = c->portal;
  bool none = false;

  switch (cmd->kind) {
  case FAKE_CMD_SCSI:
    if (cmd->rest)
      break;
    fake_execute (p, cmd, cmd->lun < FAKE_MAX_LUNS
                  ? &c->attention[cmd->lun] : &none);
    if (cmd->die) {
      drop_tasks (c);
      list_add_tail (&c->target, &cmd->node);
      close_peer (c);
      return;
    }
    break;
  case FAKE_CMD_LOGIN:
    switch (p->login) {
    case FAKE_LOGIN_OK:
      p->logins++;
      reinstate (c);
      for (int i = 0; i < FAKE_MAX_LUNS; ++i)
        c->attention[i] = true;
      break;
    case FAKE_LOGIN_FAILS:
      cmd->status = SCSI_STATUS_ERROR;
      break;
    case FAKE_LOGIN_REDIRECT:
      cmd->status = SCSI_STATUS_REDIRECT;
      break;
    case FAKE_LOGIN_LOST:
      list_add_tail (&c->target, &cmd->node);
      cmd->due = fake_now () + 1e6;
      return;
    }
    break;
  case FAKE_CMD_LOGOUT:
    if (p->logout == FAKE_LOGOUT_LOST) {
      list_add_tail (&c->target, &cmd->node);
      cmd->due = fake_now () + 1e6;
      return;
    }
    if (p->logout == FAKE_LOGOUT_CLOSES) {
      list_add_tail (&c->target, &cmd->node);
      close_peer (c);
      return;
    }
    break;
  case FAKE_CMD_LUN_RESET: case FAKE_CMD_ABORT_TASK:
    if (!manage (c, cmd))
      return;
    break;
  case FAKE_CMD_NOP: case FAKE_CMD_DISCOVERY:
    break;
  }
  list_add_tail (&c->answers, &cmd->node);
  signal_caller (c);
}

static void
receive (struct iscsi_context *c, struct fake_command *cmd)
{
  const struct fake_portal *p = c->portal;
  unsigned delay = p->delay_min;

  if (p->delay_max > p->delay_min)
    delay += fake_random () % (p->delay_max - p->delay_min + 1);
  if (cmd->kind == FAKE_CMD_SCSI && fake_hangs (c->portal, cmd))
    cmd->due = fake_now () + 1e6;
  else if (delay == 0 && !p->silent) {
    list_del (&cmd->node);
    execute (c, cmd);
    return;
  }
  else
    cmd->due = fake_now () + delay / 1e6;
  list_del (&cmd->node);
  list_add_tail (&c->target, &cmd->node);
  pthread_cond_signal (&work);
}

/* The command that is due first, of all connections. */
static struct fake_command *
next_due (struct iscsi_context **whose)
{
  struct fake_command *first = NULL;
  struct list *l, *next, *k, *knext;

  list_for_each (l, next, &live) {
    struct iscsi_context *c = list_entry (l, struct iscsi_context, node);

    if (c->peer < 0 || c->portal == NULL || c->portal->silent)
      continue;
    list_for_each (k, knext, &c->target) {
      struct fake_command *cmd = list_entry (k, struct fake_command, node);

      if (first == NULL || cmd->due < first->due) {
        first = cmd;
        *whose = c;
      }
    }
  }
  return first;
}

static void *
target_thread (void *unused)
{
  struct iscsi_context *c;

  (void) unused;
  pthread_mutex_lock (&fake_lock);
  while (!stop) {
    struct fake_command *cmd = next_due (&c);

    if (cmd == NULL)
      pthread_cond_wait (&work, &fake_lock);
    else if (cmd->due <= fake_now ()) {
      list_del (&cmd->node);
      execute (c, cmd);
    }
    else {
      const struct timespec ts = {
        .tv_sec = (time_t) cmd->due,
        .tv_nsec = (long) ((cmd->due - (time_t) cmd->due) * 1e9),
      };
      pthread_cond_timedwait (&work, &fake_lock, &ts);
    }
  }
  pthread_mutex_unlock (&fake_lock);
  return NULL;
}

/* ---- the caller's end -------------------------------------------------------------- */

/* A Data-In PDU that has only a part of the data, and more is to come: libiscsi
 * asks the iovec each time where it goes. */
static bool
deliver_half (struct iscsi_context *c, struct fake_command *cmd)
{
  if (cmd->half_ms == 0 || cmd->rest || cmd->status != SCSI_STATUS_GOOD ||
      cmd->task->xfer_dir != SCSI_XFER_READ)
    return false;
  check_task (cmd, "Data-In");
  memcpy (cmd->task->iovector_in.iov[0].iov_base, cmd->data, cmd->len / 2);
  cmd->rest = true;
  cmd->due = fake_now () + cmd->half_ms / 1e3;
  list_add_tail (&c->target, &cmd->node);
  pthread_cond_signal (&work);
  return true;
}

/* As libiscsi logs each key of a Login Response. */
static void
say_portal_group (struct iscsi_context *c)
{
  char text[400];

  if (c->portal->tpgt < 0 || c->discovery || c->log_fn == NULL ||
      c->log_level < 6)
    return;
  c->log_fn (6, "TargetLoginReply: TargetAlias=TargetPortalGroupTag=9");
  snprintf (text, sizeof text, "TargetLoginReply: TargetPortalGroupTag=%d [%s]",
            c->portal->tpgt, c->name);
  c->log_fn (6, text);
}

static void
deliver (struct iscsi_context *c, struct fake_command *cmd)
{
  struct scsi_task *task = cmd->task;
  int status = cmd->status;
  void *data = NULL;

  list_del (&cmd->node);
  if (deliver_half (c, cmd))
    return;
  switch (cmd->kind) {
  case FAKE_CMD_SCSI:
    check_task (cmd, "answer");
    data = task;
    task->status = status;
    if (cmd->residual > 0 && !cmd->silent) {
      task->residual_status = SCSI_RESIDUAL_UNDERFLOW;
      task->residual = cmd->residual;
    }
    if (status == SCSI_STATUS_CHECK_CONDITION) {
      /* SenseLength and fixed format sense, RFC 7143 11.4.7. */
      task->datain.size = 2 + 18;
      task->datain.data = calloc (1, task->datain.size);
      assert (task->datain.data != NULL);
      put_be16 (task->datain.data, 18);
      task->datain.data[2] = 0x70;
      task->datain.data[4] = cmd->key;
      task->datain.data[9] = 10;
      task->datain.data[14] = cmd->asc;
      task->datain.data[15] = cmd->ascq;
    }
    else if (task->xfer_dir == SCSI_XFER_READ && status == SCSI_STATUS_GOOD) {
      const uint32_t from = cmd->rest ? cmd->len / 2 : 0;

      memcpy ((uint8_t *) task->iovector_in.iov[0].iov_base + from,
              cmd->data + from, cmd->len - from - cmd->residual);
    }
    break;
  case FAKE_CMD_LOGIN:
    say_portal_group (c);
    if (status == SCSI_STATUS_GOOD)
      c->state = LOGGED_IN;
    else if (status == SCSI_STATUS_REDIRECT)
      snprintf (c->address, sizeof c->address, "%s", c->portal->login_text);
    else
      snprintf (c->error, sizeof c->error, "%s", c->portal->login_text);
    break;
  case FAKE_CMD_DISCOVERY:
    data = offer;
    break;
  case FAKE_CMD_LUN_RESET: case FAKE_CMD_ABORT_TASK:
    data = &cmd->response;      /* RFC 7143 11.6.1 */
    break;
  case FAKE_CMD_NOP: case FAKE_CMD_LOGOUT:
    break;
  }
  call_back (c, cmd->cb, status, data, cmd->opaque);
  command_free (cmd);
}

static void
cancel_list (struct iscsi_context *c, struct list *head, bool tell)
{
  while (!list_empty (head)) {
    struct fake_command *cmd = list_entry (head->next, struct fake_command,
                                           node);

    check_task (cmd, "cancel");
    list_del (&cmd->node);
    if (tell && cmd->cb) {
      c->told = true;
      call_back (c, cmd->cb, SCSI_STATUS_CANCELLED, NULL, cmd->opaque);
    }
    command_free (cmd);
  }
}

static void
cancel_all (struct iscsi_context *c, bool tell)
{
  cancel_list (c, &c->target, tell);
  cancel_list (c, &c->answers, tell);
  cancel_list (c, &c->out, tell);
}

/* The connection was found dead: as 1.19 has it with auto-reconnect off. */
static int
die (struct iscsi_context *c)
{
  if (c->state == LOGGED_IN && !c->cancelled) {
    c->cancelled = true;
    cancel_all (c, true);
    return 0;
  }
  c->told = true;
  snprintf (c->error, sizeof c->error, "the target closed the connection");
  return -1;
}

static void
send_all (struct iscsi_context *c)
{
  if (c->peer < 0 || c->portal->choked)
    return;
  while (!list_empty (&c->out)) {
    struct fake_command *cmd = list_entry (c->out.next, struct fake_command,
                                           node);

    check_task (cmd, "send");
    if (cmd->kind == FAKE_CMD_SCSI &&
        cmd->task->xfer_dir == SCSI_XFER_WRITE)
      memcpy (cmd->data, cmd->task->iovector_out.iov[0].iov_base, cmd->len);
    receive (c, cmd);
    if (c->peer < 0)
      return;
  }
}

static int
finish_connect (struct iscsi_context *c)
{
  const bool good = c->portal->connect == FAKE_CONNECT_OK;

  if (!good) {
    c->told = true;
    snprintf (c->error, sizeof c->error, "iscsi_service: socket error "
              "%s(%d).", strerror (EHOSTUNREACH), EHOSTUNREACH);
  }
  else
    c->state = CONNECTED;
  call_back (c, c->connect_cb, good ? SCSI_STATUS_GOOD : SCSI_STATUS_ERROR,
             NULL, c->connect_opaque);
  return good ? 0 : -1;
}

static void
drain (struct iscsi_context *c)
{
  char buf[4096];

  while (recv (c->fd, buf, sizeof buf, MSG_DONTWAIT) > 0)
    ;
  c->signalled = false;
}

/* Sometimes only a part of what came: then the rest is still in the socket. */
static void
deliver_some (struct iscsi_context *c)
{
  unsigned n = fake_random () % 4 == 0 ? 1 + fake_random () % 3 : UINT32_MAX;

  drain (c);
  while (n-- > 0 && !list_empty (&c->answers))
    deliver (c, list_entry (c->answers.next, struct fake_command, node));
  if (!list_empty (&c->answers))
    signal_caller (c);
}

int
iscsi_service (struct iscsi_context *c, int revents)
{
  int r = 0;

  enter (c, "iscsi_service", false);
  if (c->state == NEW)
    misuse ("iscsi_service before iscsi_connect_async");
  if (c->state == CONNECTING) {
    if (revents & POLLOUT)
      r = finish_connect (c);
    leave (c);
    return r;
  }
  if (revents & POLLOUT)
    send_all (c);
  if (revents & POLLIN) {
    deliver_some (c);
    if (c->peer < 0 && list_empty (&c->answers))
      r = die (c);
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
    misuse ("iscsi_which_events before iscsi_connect_async");
  r = c->state == CONNECTING ? POLLOUT
    : POLLIN | (list_empty (&c->out) ? 0 : POLLOUT);
  leave (c);
  return r;
}

int
iscsi_out_queue_length (struct iscsi_context *c)
{
  const struct list *l;
  int n = 0;

  enter (c, "iscsi_out_queue_length", true);
  for (l = c->out.next; l != &c->out; l = l->next)
    n++;
  leave (c);
  return n;
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
  c->fd = c->peer = -1;
  list_init (&c->out);
  list_init (&c->target);
  list_init (&c->answers);
  pthread_mutex_lock (&fake_lock);
  list_add_tail (&live, &c->node);
  pthread_mutex_unlock (&fake_lock);
  return c;
}

int
iscsi_destroy_context (struct iscsi_context *c)
{
  enter (c, "iscsi_destroy_context", false);
  if (c->peer >= 0) {
    drop_tasks (c);
    close (c->peer);
    c->peer = -1;
  }
  if (c->fd >= 0)
    close (c->fd);
  c->fd = -1;
  /* Callbacks come only if it was logged in; a login has none. */
  cancel_all (c, c->state == LOGGED_IN);
  c->state = DESTROYED;
  list_del (&c->node);
  list_add_tail (&grave, &c->node);
  leave (c);
  return 0;
}

/* Nothing more fits into the socket: it does not become writable. */
static void
choke (struct iscsi_context *c)
{
  static const char zeroes[4096];

  while (send (c->fd, zeroes, sizeof zeroes, MSG_DONTWAIT) > 0)
    ;
  c->choked = true;
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
  int fds[2], r = 0;

  enter (c, "iscsi_connect_async", false);
  if (c->state != NEW)
    misuse ("iscsi_connect_async twice");
  c->portal = fake_find_portal (portal);
  if (c->portal == NULL)
    misuse ("connect to a portal that was not made: %s", portal);
  if (c->portal->connect == FAKE_CONNECT_AT_ONCE) {
    snprintf (c->error, sizeof c->error, "Connect failed with errno : %s(%d)",
              strerror (ECONNREFUSED), ECONNREFUSED);
    r = -1;
  }
  else {
    if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                    fds) == -1)
      misuse ("socketpair: %s", strerror (errno));
    c->fd = fds[0];
    c->peer = fds[1];
    c->connect_cb = cb;
    c->connect_opaque = opaque;
    c->state = CONNECTING;
    c->refused = c->portal->connect == FAKE_CONNECT_REFUSED;
    if (c->portal->connect == FAKE_CONNECT_LOST || c->portal->choked)
      choke (c);
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
    misuse ("iscsi_login_async without a connection");
  if (!c->discovery && c->name[0] == '\0')
    misuse ("iscsi_login_async without a target name");
  command_new (c, FAKE_CMD_LOGIN, cb, opaque);
  leave (c);
  return 0;
}

static void
check_logged_in (const struct iscsi_context *c, const char *call)
{
  if (c->state != LOGGED_IN)
    misuse ("%s without a login", call);
  if (c->told)
    misuse ("%s after the context's death was told", call);
}

/* Peripheral or flat addressing, SAM-5 4.7.7. */
static unsigned
lun_of (unsigned field)
{
  return (field & 0xc000) == 0x4000 ? field & 0x3fff : field;
}

int
iscsi_logout_async (struct iscsi_context *c, iscsi_command_cb cb, void *opaque)
{
  enter (c, "iscsi_logout_async", false);
  check_logged_in (c, "iscsi_logout_async");
  command_new (c, FAKE_CMD_LOGOUT, cb, opaque);
  leave (c);
  return 0;
}

int
iscsi_discovery_async (struct iscsi_context *c, iscsi_command_cb cb,
                       void *opaque)
{
  enter (c, "iscsi_discovery_async", false);
  check_logged_in (c, "iscsi_discovery_async");
  if (!c->discovery)
    misuse ("discovery in a normal session");
  command_new (c, FAKE_CMD_DISCOVERY, cb, opaque);
  leave (c);
  return 0;
}

int
iscsi_nop_out_async (struct iscsi_context *c, iscsi_command_cb cb,
                     unsigned char *data, int len, void *opaque)
{
  (void) data;
  (void) len;
  enter (c, "iscsi_nop_out_async", false);
  check_logged_in (c, "iscsi_nop_out_async");
  command_new (c, FAKE_CMD_NOP, cb, opaque);
  leave (c);
  return 0;
}

/* 1.19 cancels all that is under way in the context, whatever its LUN. */
int
iscsi_task_mgmt_lun_reset_async (struct iscsi_context *c, uint32_t lun,
                                 iscsi_command_cb cb, void *opaque)
{
  struct fake_command *cmd;
  const bool told = c->told;

  enter (c, "iscsi_task_mgmt_lun_reset_async", false);
  check_logged_in (c, "iscsi_task_mgmt_lun_reset_async");
  drop_tasks (c);
  cancel_all (c, true);
  c->told = told;               /* this was no death */
  cmd = command_new (c, FAKE_CMD_LUN_RESET, cb, opaque);
  cmd->lun = lun_of (lun);
  assert (cmd->lun < FAKE_MAX_LUNS);
  leave (c);
  return 0;
}

/* The request and nothing more. */
int
iscsi_task_mgmt_async (struct iscsi_context *c, int lun,
                       enum iscsi_task_mgmt_funcs function, uint32_t ritt,
                       uint32_t rcmdsn, iscsi_command_cb cb, void *opaque)
{
  struct fake_command *cmd;

  (void) rcmdsn;
  enter (c, "iscsi_task_mgmt_async", false);
  check_logged_in (c, "iscsi_task_mgmt_async");
  if (!list_empty (&c->out))
    misuse ("task management overtakes what is to be ended by it");
  assert (function == ISCSI_TM_LUN_RESET || function == ISCSI_TM_ABORT_TASK);
  cmd = command_new (c, function == ISCSI_TM_LUN_RESET ? FAKE_CMD_LUN_RESET
                     : FAKE_CMD_ABORT_TASK, cb, opaque);
  cmd->lun = lun_of (lun);
  cmd->ritt = ritt;
  assert (cmd->lun < FAKE_MAX_LUNS);
  leave (c);
  return 0;
}

int
iscsi_scsi_cancel_task (struct iscsi_context *c, struct scsi_task *task)
{
  struct list *lists[] = { &c->target, &c->answers, &c->out };
  struct list *l, *next;
  int r = -1;

  enter (c, "iscsi_scsi_cancel_task", false);
  for (unsigned i = 0; i < 3 && r == -1; ++i)
    list_for_each (l, next, lists[i]) {
      struct fake_command *cmd = list_entry (l, struct fake_command, node);

      if (cmd->task != task)
        continue;
      list_del (&cmd->node);
      call_back (c, cmd->cb, SCSI_STATUS_CANCELLED, NULL, cmd->opaque);
      command_free (cmd);
      r = 0;
      break;
    }
  leave (c);
  return r;
}

/* A submit of 1.20.3 sends what it can, and finds out what there is to be
 * found out then: an error ends all tasks, in here. */
static void
submit_now (struct iscsi_context *c)
{
  struct fake_command *cmd =
    list_entry (c->out.prev, struct fake_command, node);
  struct list *l, *next;

  if (c->peer < 0) {
    if (!c->cancelled) {
      c->cancelled = true;
      eager_callbacks++;
      cancel_all (c, true);
    }
    return;
  }
  send_all (c);
  /* By lot, so that other answers come the usual way. */
  if (fake_random () % 2 == 0)
    return;
  list_for_each (l, next, &c->answers)
    if (list_entry (l, struct fake_command, node) == cmd) {
      eager_callbacks++;
      deliver (c, cmd);
      break;
    }
}

int
iscsi_scsi_command_async (struct iscsi_context *c, int lun,
                          struct scsi_task *task, iscsi_command_cb cb,
                          struct iscsi_data *data, void *opaque)
{
  struct fake_command *cmd;

  enter (c, "iscsi_scsi_command_async", false);
  check_logged_in (c, "iscsi_scsi_command_async");
  assert (data == NULL);
  check_not_in_use (task);
  cmd = command_new (c, FAKE_CMD_SCSI, cb, opaque);
  cmd->task = task;
  cmd->itt = task->itt = ++next_itt;
  memcpy (cmd->cdb, task->cdb, sizeof cmd->cdb);
  cmd->lun = lun_of (lun);
  if (task->xfer_dir != SCSI_XFER_NONE) {
    const struct scsi_iovector *v = task->xfer_dir == SCSI_XFER_READ
      ? &task->iovector_in : &task->iovector_out;

    cmd->len = task->expxferlen;
    assert (v->niov == 1 && v->iov[0].iov_len == cmd->len && cmd->len > 0);
    cmd->data = calloc (1, cmd->len);
    assert (cmd->data != NULL);
  }
  if (eager)
    submit_now (c);
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
  c->isid = (uint64_t) 1 << 40 | (uint64_t) (random & 0xffffff) << 16 |
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

void
scsi_task_set_iov_in (struct scsi_task *task, struct scsi_iovec *iov, int niov)
{
  task->iovector_in.iov = iov;
  task->iovector_in.niov = niov;
}

void
scsi_task_set_iov_out (struct scsi_task *task, struct scsi_iovec *iov, int niov)
{
  task->iovector_out.iov = iov;
  task->iovector_out.niov = niov;
}

/* ---- the kernel's part ---------------------------------------------------------------- */

/* Takes the C library's place: a socket pair has neither a SO_ERROR of its
 * own nor TCP_INFO. */
int
getsockopt (int fd, int level, int name, void *restrict value,
            socklen_t *restrict len)
{
  struct list *l, *next;
  int r = -1;

  pthread_mutex_lock (&fake_lock);
  list_for_each (l, next, &live) {
    struct iscsi_context *c = list_entry (l, struct iscsi_context, node);

    if (c->fd != fd)
      continue;
    if (level == SOL_SOCKET && name == SO_ERROR && c->refused) {
      *(int *) value = ECONNREFUSED;
      r = 0;
    }
    else if (level == IPPROTO_TCP && name == TCP_INFO &&
             c->portal->tcp_known && *len >= sizeof (struct linux_tcp_info)) {
      struct linux_tcp_info *info = value;

      /* As Linux 4.6 has it: no word of the peer's window. */
      memset (value, 0, *len);
      if (*len > offsetof (struct linux_tcp_info, data_segs_in))
        *len = offsetof (struct linux_tcp_info, data_segs_in);
      info->unacked = c->portal->tcp_unacked;
      info->retransmits = c->portal->tcp_retransmits;
      r = 0;
    }
    break;
  }
  pthread_mutex_unlock (&fake_lock);
  return r == 0 ? 0 : syscall (SYS_getsockopt, fd, level, name, value, len);
}

/* ---- for tests ---------------------------------------------------------------------------- */

void
fake_start (unsigned seed)
{
  pthread_condattr_t attr;

  fake_target_start (seed);
  eager = stop = false;
  deaths = eager_callbacks = resets = 0;
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&work, &attr);
  pthread_condattr_destroy (&attr);
  if (pthread_create (&thread, NULL, target_thread, NULL) != 0)
    misuse ("cannot start the target's thread");
}

static void
forget_offer (void)
{
  while (offer != NULL) {
    struct iscsi_discovery_address *next = offer->next;

    while (offer->portals != NULL) {
      struct iscsi_target_portal *p = offer->portals;

      offer->portals = p->next;
      free ((char *) p->portal);
      free (p);
    }
    free ((char *) offer->target_name);
    free (offer);
    offer = next;
  }
}

void
fake_end (void)
{
  pthread_mutex_lock (&fake_lock);
  if (!list_empty (&live))
    misuse ("a context was not destroyed");
  stop = true;
  pthread_cond_signal (&work);
  pthread_mutex_unlock (&fake_lock);
  pthread_join (thread, NULL);
  pthread_cond_destroy (&work);
  while (!list_empty (&grave)) {
    struct iscsi_context *c =
      list_entry (grave.next, struct iscsi_context, node);

    list_del (&c->node);
    free (c);
  }
  forget_offer ();
  fake_target_end ();
}

void
fake_offer (const char *target, const char *const *portals)
{
  struct iscsi_discovery_address *a = calloc (1, sizeof *a);

  assert (a != NULL);
  a->target_name = strdup (target);
  for (; *portals; ++portals) {
    struct iscsi_target_portal *p = calloc (1, sizeof *p);

    assert (p != NULL);
    p->portal = strdup (*portals);
    p->next = a->portals;
    a->portals = p;
  }
  pthread_mutex_lock (&fake_lock);
  a->next = offer;
  offer = a;
  pthread_mutex_unlock (&fake_lock);
}

void
fake_kill (struct fake_portal *p)
{
  struct list *l, *next;

  pthread_mutex_lock (&fake_lock);
  list_for_each (l, next, &live) {
    struct iscsi_context *c = list_entry (l, struct iscsi_context, node);

    if (c->portal == p)
      kill_connection (c);
  }
  pthread_mutex_unlock (&fake_lock);
}

void
fake_replace_lun (struct fake_portal *p, unsigned lun, struct fake_disk *d)
{
  struct list *l, *next;

  assert (lun < FAKE_MAX_LUNS);
  pthread_mutex_lock (&fake_lock);
  list_for_each (l, next, &live) {
    struct iscsi_context *c = list_entry (l, struct iscsi_context, node);

    if (c->portal == p)
      kill_connection (c);
  }
  p->luns[lun] = d;
  pthread_mutex_unlock (&fake_lock);
}

void
fake_set_silent (struct fake_portal *p, bool silent)
{
  pthread_mutex_lock (&fake_lock);
  p->silent = silent;
  pthread_cond_signal (&work);
  pthread_mutex_unlock (&fake_lock);
}

void
fake_set_choked (struct fake_portal *p, bool choked)
{
  struct list *l, *next;
  char buf[4096];

  pthread_mutex_lock (&fake_lock);
  p->choked = choked;
  list_for_each (l, next, &live) {
    struct iscsi_context *c = list_entry (l, struct iscsi_context, node);

    if (c->portal != p || c->peer < 0)
      continue;
    if (choked)
      choke (c);
    else if (c->choked) {
      while (recv (c->peer, buf, sizeof buf, MSG_DONTWAIT) > 0)
        ;
      c->choked = false;
    }
  }
  pthread_mutex_unlock (&fake_lock);
}

void
fake_set_eager (bool e)
{
  pthread_mutex_lock (&fake_lock);
  eager = e;
  pthread_mutex_unlock (&fake_lock);
}

static unsigned
read_counter (const unsigned *n)
{
  unsigned r;

  pthread_mutex_lock (&fake_lock);
  r = *n;
  pthread_mutex_unlock (&fake_lock);
  return r;
}

unsigned
fake_deaths (void)
{
  return read_counter (&deaths);
}

unsigned
fake_resets (void)
{
  return read_counter (&resets);
}

void
fake_reset_lun (struct fake_portal *p, unsigned lun)
{
  pthread_mutex_lock (&fake_lock);
  reset_lun (p, NULL, lun);
  pthread_mutex_unlock (&fake_lock);
}

unsigned
fake_eager_callbacks (void)
{
  return read_counter (&eager_callbacks);
}

unsigned
fake_waiting (struct fake_portal *p)
{
  struct list *l, *next, *k, *knext;
  unsigned n = 0;

  pthread_mutex_lock (&fake_lock);
  list_for_each (l, next, &live) {
    struct iscsi_context *c = list_entry (l, struct iscsi_context, node);

    if (c->portal == p)
      list_for_each (k, knext, &c->target)
        n += list_entry (k, struct fake_command, node)->kind == FAKE_CMD_SCSI;
  }
  pthread_mutex_unlock (&fake_lock);
  return n;
}

void
iscsi_set_log_fn (struct iscsi_context *c, iscsi_log_fn fn)
{
  enter (c, "iscsi_set_log_fn", false);
  c->log_fn = fn;
  leave (c);
}

void
iscsi_set_log_level (struct iscsi_context *c, int level)
{
  enter (c, "iscsi_set_log_level", false);
  c->log_level = level;
  leave (c);
}
