#pragma once
// Every number of the core that somebody may want to know or change, in one place.

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace weft::constants {

/// A stream reader pauses its transport above twice this many buffered bytes (asyncio's stream limit).
inline constexpr std::size_t stream_limit = 64 * 1024;
/// A stream reader whose peer sends this much at a time, in bytes, has it put where it stays, up to so much at once;
/// what comes in smaller pieces is copied.
inline constexpr std::size_t stream_read_in_place_min = 512;
inline constexpr std::size_t stream_read_in_place_max = 64 * 1024;
/// Default high-water mark of a transport's write buffer, in bytes; the low-water mark is a quarter of it.
inline constexpr std::size_t write_high_water = 64 * 1024;
/// The buffer that a loop's sockets read into, in bytes, and its alignment.
inline constexpr std::size_t read_buffer_size = 256 * 1024;
inline constexpr std::size_t read_buffer_alignment = 64;
/// The most that one sendfile call is asked for, and a piece of a file that is read and written instead.
inline constexpr std::size_t sendfile_chunk = 1 << 30;
inline constexpr std::size_t sendfile_fallback_piece = 64 * 1024;
/// A datagram of UDP fits into this part of that buffer; a socket takes so many fillings of the buffer in its turn.
inline constexpr std::size_t datagram_slot_size = 64 * 1024;
inline constexpr unsigned datagram_batches = 16;
/// Datagrams that an awaitable endpoint keeps for receive(); later ones are dropped.
inline constexpr std::size_t datagram_queue = 256;
/// What a buffered datagram counts for beside its bytes.
inline constexpr std::size_t datagram_header_size = 8;
/// After this many dropped writes on a lost connection each further one is reported.
inline constexpr unsigned log_threshold_for_connlost_writes = 5;
/// How long accepting pauses after the system ran out of descriptors or memory.
inline constexpr std::chrono::seconds accept_retry_delay{1};
/// How long a loop waits for events at most while it could not tell the system of all that it waits for.
inline constexpr std::chrono::milliseconds out_of_memory_pause{10};
/// How long a TLS handshake and the exchange of close_notify may take, by default.
inline constexpr std::chrono::seconds tls_handshake_timeout{60};
inline constexpr std::chrono::seconds tls_shutdown_timeout{30};
/// Default high-water mark below TLS, in bytes, and how much is decrypted for one call of data_received.
inline constexpr std::size_t tls_write_high_water = 512 * 1024;
inline constexpr std::size_t tls_read_size = 64 * 1024;
/// While callbacks are always ready, I/O is polled after this many iterations at the latest ...
inline constexpr unsigned busy_poll_iterations = 61;
/// ... and whenever this much time has passed since the last poll. The clock is looked at now and then, after so many
/// callbacks at the latest.
inline constexpr std::chrono::milliseconds busy_poll_interval{1};
inline constexpr std::uint64_t callbacks_without_clock = 64;
/// Such a poll runs at most this many completions of an io_context that is the application's, too, and so many if all
/// are the loop's own, which read a buffer full each. The loop's own epoll set has no such bound: each event comes
/// once.
inline constexpr unsigned busy_poll_completions = 1024;
inline constexpr unsigned busy_poll_own_completions = 64;
/// The timer heap is rebuilt without its cancelled entries when it holds more than this many entries
/// and more than half of them are cancelled.
inline constexpr std::size_t min_scheduled_timers = 100;
/// In debug mode callbacks that take this long are reported.
inline constexpr std::chrono::milliseconds slow_callback_duration{100};
/// How long a run waits for the default executor's threads to end.
inline constexpr std::chrono::seconds thread_join_timeout{300};
/// How long a thread of a pool looks out for the next function before it sleeps: about what waking it up takes.
inline constexpr std::chrono::microseconds executor_linger{20};
/// Threads that look up names, so many at most for each loop.
inline constexpr std::size_t resolver_threads = 4;
/// Connecting to a Unix socket whose listener has no room is tried again after the first pause, then twice that, ...
inline constexpr std::chrono::milliseconds local_connect_first_pause{1};
inline constexpr std::chrono::milliseconds local_connect_last_pause{32};
/// Pending connections that a listening socket queues.
inline constexpr int listen_backlog = 100;

}  // namespace weft::constants
