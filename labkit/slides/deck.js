// Starts reveal.js, makes every slide fit its frame, and switches between light and dark (key T).
(() => {
  const root = document.documentElement;
  const asked = new URLSearchParams(location.search);
  const printing = asked.has('print-pdf') || asked.get('view') === 'print';
  const prefersDark = matchMedia('(prefers-color-scheme: dark)').matches && !printing;
  root.dataset.labkitTheme = asked.get('theme') || (prefersDark ? 'dark' : 'light');

  // A picture or a player takes the room that words leave.
  for (const picture of document.querySelectorAll('.lk-picture, .labkit-player')) {
    for (let at = picture.parentElement; !at.classList.contains('lk-body'); at = at.parentElement)
      at.classList.add('lk-flex');
  }

  // A player takes the form in which its small print can be read from the last row.
  for (const player of document.querySelectorAll('.labkit-player'))
    for (const name of ['fit', 'slide']) player.setAttribute(`data-labkit-${name}`, '');

  // Without a heading or a picture, a slide stands in the middle and may be larger.
  for (const body of document.querySelectorAll('.lk-body')) {
    const flexes = body.querySelector('.lk-flex');
    body.classList.toggle('lk-alone', !flexes && !body.querySelector('h1, h2'));
    body.classList.toggle('lk-wide', Boolean(flexes) && !body.querySelector('h1, h2'));
  }

  const LEAST = 0.6;  // of 40 px: below that the last row reads no more
  const over = (body) => {
    const frame = body.getBoundingClientRect();
    const ratio = frame.width / body.offsetWidth || 1;
    let most = Math.max(body.scrollHeight - body.clientHeight, body.scrollWidth - body.clientWidth);
    for (const part of body.querySelectorAll('.lk-flex, .lk-words, .lk-code, .lk-html, .lk-card')) {
      const box = part.getBoundingClientRect();
      most = Math.max(most, (box.bottom - frame.bottom) / ratio, (box.right - frame.right) / ratio);
      if (part.scrollWidth > part.clientWidth + 1) most = Math.max(most, 2);
      if (part.matches('.lk-flex') && box.height / ratio < 300) most = Math.max(most, 2);
    }
    return most > 1;
  };
  // A step with much evidence makes a player taller than its room: it is drawn smaller then.
  const rooms = new WeakMap();
  const shrink = (player, room) => {
    rooms.set(player, room);
    const ratio = Math.min(1, room / player.offsetHeight);
    player.style.transformOrigin = 'top center';
    player.style.transform = ratio < 1 ? `scale(${ratio})` : '';
  };
  const watch = new ResizeObserver((changes) => {
    for (const { target } of changes) if (rooms.has(target)) shrink(target, rooms.get(target));
  });
  document.querySelectorAll('.labkit-player').forEach((player) => watch.observe(player));
  // A table with more rows than fit ends early, and says so.
  const trim = (body) => {
    const rows = [...body.querySelectorAll('.lk-html tbody tr')];
    const last = rows.length > 6 ? rows[0].parentElement.appendChild(rows[0].cloneNode(true)) : null;
    if (!last) return;
    let hidden = 0;
    do {
      rows[rows.length - 1 - hidden].style.display = 'none';
      hidden += 1;
      last.innerHTML = `<td colspan="99">and ${hidden} more rows, in the notebook</td>`;
    } while (over(body) && rows.length - hidden > 4);
  };
  const fit = (slide) => {
    const body = slide.querySelector('.lk-body');
    if (!body || !body.offsetWidth) return;
    const players = [...body.querySelectorAll('.labkit-player')];
    const giveRoom = () => players.forEach((player) => {
      const room = Math.floor(player.parentElement.clientHeight / players.length);
      player.style.setProperty('--labkit-height', `${room}px`);
      shrink(player, room);
    });
    // What has no picture to make room for may be larger.
    let scale = body.classList.contains('lk-alone') ? 1.28 : 1.16;
    if (body.querySelector('.lk-flex')) scale = 1;
    body.style.fontSize = `${40 * scale}px`;
    giveRoom();
    // A long table ends early rather than in letters that nobody reads.
    const least = body.querySelector('.lk-html tbody tr:nth-child(9)') ? 0.9 : LEAST;
    while (over(body) && scale > least) {
      scale -= 0.04;
      body.style.fontSize = `${40 * scale}px`;
      giveRoom();
    }
    if (over(body) && !body.dataset.trimmed) {
      body.dataset.trimmed = 'true';
      trim(body);
    }
    slide.dataset.fits = String(!over(body));
  };

  const typing = (event) => {
    const path = event ? event.composedPath() : [document.activeElement];
    return path.some((each) => each instanceof Element
      && each.matches('.labkit-player, input, textarea, select, [contenteditable]'));
  };
  const deck = new Reveal(document.querySelector('.reveal'), {
    width: 1920, height: 1080, margin: 0, minScale: 0.05, maxScale: 4, center: false,
    display: 'block', hash: true, slideNumber: 'c/t', transition: 'none',
    controlsTutorial: false, pdfSeparateFragments: false, pdfMaxPagesPerSlide: 1,
    keyboardCondition: (event) => !typing(event), plugins: [RevealNotes],
  });
  deck.on('slidechanged', (event) => fit(event.currentSlide));
  deck.on('resize', () => fit(deck.getCurrentSlide()));
  deck.on('pdf-ready', () => {
    deck.getSlides().forEach(fit);
    root.dataset.deckReady = 'true';
  });
  deck.initialize().then(() => {
    deck.addKeyBinding({ keyCode: 84, key: 'T', description: 'Light or dark' }, () => {
      root.dataset.labkitTheme = root.dataset.labkitTheme === 'dark' ? 'light' : 'dark';
    });
    if (printing) return;
    fit(deck.getCurrentSlide());
    root.dataset.deckReady = 'true';
  });
  window.labkitDeck = deck;
})();
