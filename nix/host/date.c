/* Another date for every process that loads this: the kernel's, moved by OFFSET seconds. Time goes on as it does.
 *
 * It asks the kernel itself and takes no memory. A library that does (libfaketime) stands still for ever in programs whose allocator asks
 * for the time while it starts, and rustc is one. What files say of their age is not changed, and neither is any other clock. */
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *to) {
  long refused = syscall(SYS_clock_gettime, clock, to);
  if (!refused && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    to->tv_sec += OFFSET;
  return (int)refused;
}

time_t time(time_t *to) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (to)
    *to = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval *to, void *zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  to->tv_sec = now.tv_sec;
  to->tv_usec = now.tv_nsec / 1000;
  return 0;
}
