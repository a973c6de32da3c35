/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads and writes without a thread each.
 *
 * WHY
 *
 * nbdkit calls a plugin from as many threads as there are requests in flight,
 * and each of them sleeps until its answer has come.  A request of 4 KiB costs
 * two or three thread switches then, which is most of what it costs at all.
 * So the plugin puts itself between nbdkit and the client's socket: nbdkit's
 * read (), send () and close () are ours (hook.h).
 *
 * LIFE OF A STREAM
 *
 * A stream is one client's socket in the transmission phase of the NBD
 * protocol.  It begins by watching (LEARNING) what nbdkit reads, calls and
 * sends: a request of 28 bytes on this socket, our pread or pwrite in the same
 * thread with the same place and size, a reply with the same cookie on the same
 * socket.  That tells which LUN the socket is for, that nothing between changes
 * requests, and in which form nbdkit answers reads (simple or structured).
 *
 * Then (ACTIVE) nbdkit's read () of the next request does not return for plain
 * reads and writes: they are started (requests_start) and answered in here,
 * and the thread that nbdkit has sent to read goes on reading.  Whatever is not
 * a plain read or write of good size and place is given to nbdkit as if nothing
 * had happened: flush, trim, zero, block status, disconnect, and all errors of
 * the client.  So is one of the others from time to time (SAMPLE): nbdkit ends
 * its threads when it is told to end (SIGTERM), but only between requests; it
 * answers with an error then without calling us, and that ends the connection
 * (ENDING).  Everything else that is not as expected ends the shortcut (OVER):
 * nbdkit does it all from then on.
 *
 * There is no shortcut where nbdkit does more with a request than to hand it
 * on: with filters, with TLS (gnutls reads the socket then, not nbdkit), with
 * one thread (-t 1); nor where the hooks cannot be set.
 *
 * THREADS
 *
 * - Reader: whichever worker of nbdkit is in read (); nbdkit sends one at a
 *   time, stream->reading makes sure.  It starts requests.
 * - replies_done, called by whoever completes requests, mostly the service
 *   thread: queues the replies, and sends what goes without waiting.
 * - Writer: a thread that is made when a socket is full for the first time, and
 *   waits for it instead.
 * - nbdkit's workers, with replies of their own: they wait for their turn,
 *   between two of our replies.
 *
 * Who may send is who has set stream->sending.  What is under stream->lock is
 * said below; it is never held while sending, reading or starting requests.
 */
#ifndef MPISCSI_STREAM_H
#define MPISCSI_STREAM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin.h"

/* The NBD protocol: doc/proto.md of the reference implementation. */
#define NBD_REQUEST_MAGIC 0x25609513
#define NBD_SIMPLE_REPLY_MAGIC 0x67446698
#define NBD_STRUCTURED_REPLY_MAGIC 0x668e33ef
#define NBD_REPLY_FLAG_DONE 1
#define NBD_REPLY_TYPE_OFFSET_DATA 1
#define NBD_REPLY_TYPE_ERROR 0x8001
#define NBD_REQUEST_SIZE 28
enum { NBD_CMD_READ, NBD_CMD_WRITE, NBD_CMD_DISC };
#define NBD_CMD_FLAG_FUA 1

struct nbd_request {
  uint16_t flags, type;
  uint64_t cookie;              /* as it came: nobody looks inside */
  uint64_t offset;
  uint32_t count;
};

/* A request in flight, and then its reply. */
struct slot {
  struct request req;           /* the first: replies_done finds the slot */
  struct stream *stream;
  struct slot *next;            /* in stream->idle or ->out */
  struct nbd_request nbd;
  void *buf;
  size_t capacity;              /* of buf */
  uint32_t taken;               /* bytes that it counts for */
  uint8_t header[32];
  uint8_t header_size;
  uint32_t data_size;           /* of buf, behind the header */
};

enum stream_state { STREAM_LEARNING, STREAM_ACTIVE, STREAM_OVER,
                    STREAM_ENDING };
/* How nbdkit answers reads. */
enum reply_form { FORM_UNKNOWN, FORM_SIMPLE, FORM_STRUCTURED };

/* Requests that come together are read, and sent on, together; more than that
 * is copied once. */
#define STREAM_IN_SIZE (16 * 1024)

struct stream {
  int fd;
  _Atomic int state;            /* enum stream_state */
  _Atomic int form;             /* enum reply_form */

  /* Set before ACTIVE, constant then. */
  struct map *map;
  uint64_t size;                /* bytes */
  uint32_t block_size;
  bool writable, native_fua;

  /* The reader waits for a request, or is about to: at ENDING shutdown wakes
   * it.  Else it will look at the state before it waits again. */
  _Atomic bool at_request;

  /* The reader's. */
  pthread_mutex_t reading;
  uint8_t in[STREAM_IN_SIZE];
  size_t from, to;              /* what of it was read and not used yet */
  uint64_t owed;                /* bytes that nbdkit will still read of the
                                   request that it was given */
  struct request *last;         /* made, not started; the newest first */
  double next_sample;
  uint64_t nr_fast, nr_given;   /* requests */

  pthread_mutex_t lock;
  pthread_cond_t changed;       /* one of these, and somebody waits for it */
  unsigned waiters;
  struct slot *idle;
  size_t idle_bytes;            /* of their buffers */
  unsigned in_flight;           /* slots that are not idle */
  uint64_t in_flight_bytes;
  struct slot *out, **out_last; /* replies to send */
  size_t out_sent;              /* bytes of the first of them */
  bool sending;
  unsigned turns_wanted;        /* by nbdkit's workers */
  bool full;                    /* the writer is to send */
  bool broken;                  /* nothing can be sent any more */
  bool touched;                 /* replies_done is about to look at it */
  double last_failure;          /* engine_now () of its line in the log */
  unsigned failures_unsaid;
  struct stream *next_touched;  /* that one's */
  pthread_cond_t writer_wanted; /* full, or stop_writer */
  bool has_writer, stop_writer;
  pthread_t writer;
};

/* stream.c */
/* Once, before the first connection.  False: all works, but slower. */
extern bool streams_install (bool shortcut);
extern struct stream *stream_of (int fd);
extern void stream_end (struct stream *st, const char *why);
/* The plugin was called with this request. */
extern void stream_called (const struct handle *h, int type, uint32_t count,
                           uint64_t offset);
/* The reader gives this to nbdkit; FAST: it could have been ours. */
extern void stream_given (struct stream *st, const struct nbd_request *nbd,
                          bool fast);
/* The first bytes of a reply of nbdkit's. */
extern void stream_replied (struct stream *st, const uint8_t *reply, size_t n);

/* stream-read.c */
extern ssize_t stream_read (struct stream *st, void *buf, size_t n);
/* Its first bytes, REQUEST_SIZE of them: a request? */
extern bool nbd_request_parse (const uint8_t *p, struct nbd_request *nbd);
/* How many more of nbdkit's reads are of this request's payload. */
extern uint32_t nbd_payload (const struct nbd_request *nbd);

/* replies.c */
extern ssize_t replies_send (int fd, const void *buf, size_t n, int flags);
extern void replies_done (struct request *completed);
/* Is there room for one more request, of COUNT bytes? */
extern bool slot_room (struct stream *st, uint32_t count);
/* Waits for it.  NULL: no memory. */
extern struct slot *slot_take (struct stream *st, uint32_t count);
/* Was not started. */
extern void slot_release (struct stream *st, struct slot *slot);
/* Until all is answered. */
extern void replies_drain (struct stream *st);
/* Nobody reads any more: the client gets no more replies. */
extern void replies_stop (struct stream *st);

#endif /* MPISCSI_STREAM_H */
