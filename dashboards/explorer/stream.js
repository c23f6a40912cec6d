// Events of the server as they come, again by themselves after it was away. A browser has six
// connections to a server, so pages that nobody looks at hold none.

const RECOVERY_MS = 2000;

// `hear` is told of each event's kind and content, `away` when there is no answer: whether the
// server refuses the stream.
export function stream(address, { hear, away }) {
  let source = null, ended = false;
  const open = () => {
    source?.close();
    if (ended || document.hidden) return;
    const own = source = new EventSource(address);
    for (const kind of ["change", "beat"]) own.addEventListener(kind, (event) => hear(kind, JSON.parse(event.data)));
    own.onerror = () => {
      if (own !== source || ended) return;
      const refused = own.readyState === EventSource.CLOSED;
      away(refused);
      if (refused) setTimeout(() => own === source && open(), RECOVERY_MS);
    };
  };
  document.addEventListener("visibilitychange", open);
  open();
  return {
    close: () => {
      ended = true;
      source?.close();
      document.removeEventListener("visibilitychange", open);
    },
  };
}
