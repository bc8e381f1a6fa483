// The clock that a page follows: a <video> where the browser can play it, else a stopwatch beside the thumbnails.
// Both answer to: time, playing, seek(seconds), play(), pause(); `tell` is called whenever time moves.

function createPlayer(host, page, source, tell) {
  const now = element("div", "now", { "aria-hidden": "true" });
  const screen = element("div", "screen");
  host.replaceChildren(screen, now);
  host.hidden = false;
  let clockwork = null;
  let ticking = 0;

  const announce = () => {
    clockwork.draw?.();
    tell(clockwork.time(), clockwork.playing());
  };
  const tick = () => {
    announce();
    ticking = clockwork.playing() ? requestAnimationFrame(tick) : 0;
  };
  const moved = () => {
    if (clockwork.playing() && !ticking) ticking = requestAnimationFrame(tick);
    else announce();
  };
  const fallBack = (reason) => {
    const time = clockwork ? clockwork.time() : 0;
    clockwork = stopwatch(screen, page, reason, moved);
    clockwork.seek(time);
  };

  if (source) {
    clockwork = videoClock(screen, page, source, moved, fallBack);
  } else {
    fallBack(page.media.note);
  }
  return {
    now,
    time: () => clockwork.time(),
    playing: () => clockwork.playing(),
    seek: (time) => clockwork.seek(clamp(time, 0, page.duration)),
    play: () => clockwork.play(),
    pause: () => clockwork.pause(),
  };
}

function videoClock(screen, page, source, moved, fallBack) {
  const video = element("video", "", { controls: true, playsInline: true, preload: "auto", src: source });
  video.setAttribute("aria-label", `Video ${page.name}`);
  if (page.thumbnails.length) video.poster = page.thumbnails[0][1];
  const unplayable = () => {
    if (!video.isConnected) return;
    fallBack(
      page.media.href
        ? "The linked video file is missing, or this browser cannot play its format."
        : `This browser cannot play the format of this video (${page.media.mime}).`,
    );
  };
  for (const name of ["play", "playing", "pause", "ended", "seeking", "seeked", "timeupdate"]) video.addEventListener(name, moved);
  video.addEventListener("error", unplayable);
  // A codec that only the sound's decoder knows gives a video without width.
  video.addEventListener("loadedmetadata", () => video.videoWidth || unplayable());
  screen.replaceChildren(video);
  return {
    time: () => video.currentTime,
    playing: () => !video.paused && !video.ended,
    // Half a millisecond later: rounding must not show the frame before the wanted one.
    seek: (time) => {
      video.currentTime = Math.min(time + 0.0005, page.duration);
    },
    play: () => video.play().catch(() => {}),
    pause: () => video.pause(),
  };
}

function stopwatch(screen, page, reason, moved) {
  let base = 0;
  let started = null;
  const times = page.thumbnails.map(([time]) => time);
  const picture = element("img", "", { alt: "" });
  const toggle = element("button", "play", { type: "button" });
  const slider = element("input", "", { type: "range", min: "0", max: String(page.duration), step: "any", value: "0" });
  slider.setAttribute("aria-label", "Time");
  const watch = {
    time: () => Math.min(started === null ? base : base + (performance.now() - started) / 1000, page.duration),
    playing: () => started !== null,
    seek: (time) => {
      base = time;
      if (started !== null) started = performance.now();
      moved();
    },
    play: () => {
      if (started !== null) return;
      if (base >= page.duration) base = 0;
      started = performance.now();
      moved();
    },
    pause: () => {
      base = watch.time();
      started = null;
      moved();
    },
    draw: () => {
      const time = watch.time();
      if (started !== null && time >= page.duration) {
        base = page.duration;
        started = null;
      }
      slider.value = String(time);
      toggle.textContent = started === null ? "▶" : "❚❚";
      toggle.setAttribute("aria-label", started === null ? "Play" : "Pause");
      if (!times.length) return;
      const [at, uri] = page.thumbnails[nearest(times, time)];
      if (picture.src !== uri) picture.src = uri;
      picture.alt = `Frame at ${clock(at)}`;
    },
  };
  toggle.addEventListener("click", () => (started === null ? watch.play() : watch.pause()));
  slider.addEventListener("input", () => watch.seek(Number(slider.value)));
  const still = times.length ? picture : element("div", "blank", {}, "No pictures of this video");
  screen.replaceChildren(element("div", "still", {}, still), element("p", "reason", {}, reason), element("div", "controls", {}, toggle, slider));
  return watch;
}
