/* A UDP echo server. Prints the port it listens at. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void) {
  static char buffer[65536];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int server = socket(AF_INET, SOCK_DGRAM, 0);
  if (server < 0 || bind(server, (struct sockaddr *)&address, sizeof address) != 0) return 1;
  if (getsockname(server, (struct sockaddr *)&address, &length) != 0) return 1;
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    struct sockaddr_in source;
    socklen_t source_length = sizeof source;
    ssize_t size = recvfrom(server, buffer, sizeof buffer, 0, (struct sockaddr *)&source, &source_length);
    if (size >= 0) sendto(server, buffer, size, 0, (struct sockaddr *)&source, source_length);
  }
}
