// Explorables without a kernel: every position was drawn beforehand, or a twin of the model draws it here.
(() => {
  const controlsOf = (spec, at, changed) => spec.controls.map((control, k) => {
    const label = document.createElement("label"), shown = document.createElement("output");
    const input = document.createElement(control.kind === "list" ? "select" : "input");
    const text = () => (control.labels ? control.labels[at[k]] : control.digits === undefined ? String(at[k]) : at[k].toFixed(control.digits));
    label.append(control.label + " ", input);
    if (control.kind === "list") {
      control.labels.forEach((name, v) => input.add(new Option(name, v, v === at[k], v === at[k])));
    } else if (control.kind === "box") {
      Object.assign(input, { type: "checkbox", checked: Boolean(at[k]) });
    } else {
      const [min, max, step] = control.labels ? [0, control.labels.length - 1, 1] : [control.min, control.max, control.step];
      Object.assign(input, { type: "range", min, max, step, value: at[k] });
      label.append(shown);
    }
    const tell = () => { shown.textContent = text(); if (input.type === "range") input.setAttribute("aria-valuetext", text()); };
    input.addEventListener("input", () => {
      at[k] = control.kind === "box" ? Number(input.checked) : Number(input.value);
      tell();
      changed();
    });
    input.addEventListener("keydown", (event) => event.stopPropagation()); // arrows turn no page of a slide show
    tell();
    return { label, input, set: (value) => { input.value = value; input.dispatchEvent(new Event("input")); } };
  });

  // A button that walks one slider to its end and starts again.
  const player = (part) => {
    const button = document.createElement("button");
    let timer = 0;
    const show = () => { button.textContent = timer ? "❚❚" : "▶"; button.setAttribute("aria-label", timer ? "Pause" : "Play"); };
    button.type = "button";
    button.addEventListener("click", () => {
      if (timer) { clearInterval(timer); timer = 0; }
      else timer = setInterval(() => part.set(Number(part.input.value) < Number(part.input.max) ? Number(part.input.value) + Number(part.input.step) : part.input.min), 250);
      show();
    });
    show();
    return button;
  };

  // Frames: the picture of a position is a file.
  const frames = (figure, spec) => {
    const image = figure.querySelector("img"), base = new URL(figure.dataset.folder + "/" + spec.name + "/", document.baseURI), loaded = new Map();
    const within = spec.pictures || {}; // a deck holds them itself
    const load = (file) => {
      if (!loaded.has(file)) { const img = new Image(); img.src = within[file] || new URL(file, base); loaded.set(file, img); }
      return loaded.get(file);
    };
    new IntersectionObserver((entries, observer) => {
      if (entries.some((entry) => entry.isIntersecting)) { observer.disconnect(); spec.frames.forEach(load); }
    }, { rootMargin: "200px" }).observe(figure);
    return async (at, still) => {
      const k = spec.controls.reduce((sum, control, i) => sum * control.labels.length + at[i], 0), picture = load(spec.frames[k]);
      await picture.decode().catch(() => {});
      if (still()) image.src = picture.src;
      return spec.texts[k];
    };
  };

  // A twin: the model itself, on a canvas in place of the picture.
  const twin = (figure, spec) => {
    const image = figure.querySelector("img"), canvas = document.createElement("canvas"), model = window.odelabTwins[spec.twin];
    const scale = Math.max(2, window.devicePixelRatio || 1);
    canvas.width = spec.width * scale;
    canvas.height = spec.height * scale;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", image.alt);
    canvas.style.cssText = `width:max(${image.style.minWidth || "0px"}, min(100%, ${spec.width}px));height:auto`;
    image.replaceWith(canvas);
    const pen = canvas.getContext("2d");
    return async (at) => {
      const values = Object.fromEntries(spec.controls.map((c, k) => [c.name, c.values ? c.values[at[k]] : c.kind === "box" ? Boolean(at[k]) : at[k]]));
      const result = model(values, spec.data);
      pen.setTransform(scale, 0, 0, scale, 0, 0);
      pen.clearRect(0, 0, spec.width, spec.height);
      result.draw(pen, spec.width, spec.height);
      return result.text;
    };
  };

  const start = (figure) => {
    const spec = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
    const at = spec.controls.map((control) => control.start), say = figure.querySelector("figcaption"), row = figure.querySelector(".slider-controls");
    const draw = spec.twin ? twin(figure, spec) : frames(figure, spec);
    let turn = 0;
    const show = async () => {
      const mine = ++turn, from = performance.now(), text = await draw(at, () => mine === turn);
      if (mine !== turn) return;
      say.textContent = text;
      figure.dataset.ms = (performance.now() - from).toFixed(1);
    };
    const parts = controlsOf(spec, at, show);
    parts.forEach((part, k) => {
      if (spec.controls[k].name === spec.play) row.append(player(part));
      row.append(part.label);
    });
    show().then(() => { figure.dataset.ready = "yes"; });
  };

  // A formula wider than a phone scrolls: by the keyboard, too.
  window.addEventListener("load", () => window.MathJax && MathJax.startup && MathJax.startup.promise.then(() => {
    document.querySelectorAll('mjx-container[display="true"]').forEach((box) => { if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; });
  }));

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("figure.slider").forEach(start);
    // The theme's arrows beside a page with pages below it have no name.
    document.querySelectorAll("nav summary").forEach((arrow) => arrow.textContent.trim() || arrow.setAttribute("aria-label", "Pages below"));
  });
})();
