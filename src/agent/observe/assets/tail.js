// Shows the end of a file and follows it as it grows.
"use strict";
(() => {
  const view = document.getElementById("tail");
  const source = view.dataset.source;
  const chunk = 65536;
  const kept = 1 << 20;
  let offset = -1;

  // The data comes escaped; as text it must not be.
  const plain = (data) =>
    data.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

  const atEnd = () => window.innerHeight + window.scrollY >= document.body.offsetHeight - 40;

  async function step() {
    const answer = await fetch(`${source}?offset=${offset}&length=${chunk}`);
    const part = await answer.json();
    if (part.offset === undefined) {
      view.textContent = "The file is not there.";
      return 5000;
    }
    if (offset < 0) {
      offset = Math.max(0, part.offset - chunk);
      return 0;
    }
    if (part.length === 0) {
      return 1000;
    }
    const follow = atEnd();
    view.textContent = (view.textContent + plain(part.data)).slice(-kept);
    offset += part.length;
    if (follow) {
      window.scrollTo(0, document.body.scrollHeight);
    }
    return 0;
  }

  async function run() {
    for (;;) {
      let pause = 5000;
      try {
        pause = await step();
      } catch (error) {
        console.warn(error);
      }
      await new Promise((done) => setTimeout(done, pause));
    }
  }

  run();
})();
